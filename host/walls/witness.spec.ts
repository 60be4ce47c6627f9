import { expect, test } from 'vitest'
import { readSettings } from '../settings.ts'
import { executionsDuring, witnesses } from './witness.ts'

const { keeper } = readSettings()
const signal = new AbortController().signal

test('who else could see what runs is tried, and said; nothing depends on it', async () => {
  const findings = await witnesses(keeper, signal)
  expect(findings.map(({ what, severity }) => [what, severity])).toEqual([
    ['eBPF', 'fine'],
    ['audit of the kernel', 'fine'],
  ])
  for (const { detail } of findings) expect(detail).toMatch(/counts executions|left alone|not needed/)
  for (const { detail } of await witnesses('/nowhere/keeper', signal)) expect(detail).toMatch(/could not be tried .*not needed/)
})

test('what is to be counted happens once, whether or not somebody counts', async () => {
  let times = 0
  const during = async () => {
    times += 1
  }
  expect(await executionsDuring(keeper, 'no sandbox of this name', during, signal)).toBeUndefined()
  expect(times).toBe(1)
})
