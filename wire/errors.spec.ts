import { expect, test } from 'vitest'
import { CATALOGUE, Fault, type FaultCode } from './errors.ts'

const codes = Object.keys(CATALOGUE) as FaultCode[]

test.each(codes)('%s says what it means and what to do, and fits into one line', (code) => {
  const { title, hint, status } = CATALOGUE[code]
  expect(title).toMatch(/^[a-z`C].*[^.]$/)
  expect(hint).toMatch(/^[A-Z`].*[.?]$/)
  expect(status).toBeGreaterThanOrEqual(400)
  expect(new Fault(code, 'what was wrong').line).toBe(`${code}: what was wrong. ${hint}`)
})

test('a hint of its own takes the place of the general one, and the cause stays', () => {
  const cause = new Error('below')
  const fault = new Fault('INTERNAL', 'it broke', { hint: 'Mend it.', cause })
  expect([fault.hint, fault.cause, fault.name]).toEqual(['Mend it.', cause, 'Fault'])
  expect(new Fault('INTERNAL', 'it broke')).not.toHaveProperty('cause')
})
