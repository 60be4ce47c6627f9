import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type AuditRecord, auditFields } from './record.ts'

const command = (text: string): AuditRecord => ({ kind: 'command', sandbox: 'i1', command: text, args: [text], user: '', cwd: '' })

test('a record is one line, and reads back as what it was', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      const line = auditFields(command(text))
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/)
      expect(JSON.parse(line)).toEqual(command(text))
    }),
  )
})

test('long fields and long lists are cut, and say so', () => {
  const record = { ...command('x'.repeat(100_000)), args: Array.from({ length: 10_000 }, () => 'y'.repeat(10_000)) }
  const line = auditFields(record)
  expect(line.length).toBeLessThan(2 * 1024 * 1024)
  expect(line).toContain('(100000 characters)')
  expect(line).toContain('(10000 in all)')
})

test('nothing is cut in the middle of a character', () => {
  for (const before of [4094, 4095, 4096]) {
    const { command: said } = JSON.parse(auditFields(command(`${'x'.repeat(before)}\u{1f600}${'x'.repeat(9)}`)))
    expect(said).toMatch(/^x+(\u{1f600})?\.\.\. \(\d+ characters\)$/u)
  }
})
