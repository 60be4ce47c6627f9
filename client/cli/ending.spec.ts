import { CATALOGUE, Fault, type FaultCode } from '@caisson/wire'
import { expect, test } from 'vitest'
import type { Sandbox } from '../sandbox.ts'
import { endingOf, exitCodeOf, faultLine, inTheCatalogue, oneLine } from './ending.ts'
import { endOf, endOfRejection } from './run/outcome.ts'

test('every fault is 125, but 126 where a rule refuses', () => {
  const refused = (Object.keys(CATALOGUE) as FaultCode[]).filter((code) => exitCodeOf(new Fault(code, '')) !== 125)
  expect(refused.sort()).toEqual(['AUDIT_UNWRITABLE', 'SCAN_REFUSED'])
  for (const code of refused) expect(exitCodeOf(new Fault(code, ''))).toBe(126)
})

test.each([
  ['timeout', 124, 'LIMIT_HIT'],
  ['memory', 137, 'LIMIT_HIT'],
  ['pids', 137, 'LIMIT_HIT'],
  ['disk', 137, 'LIMIT_HIT'],
  ['output', 137, 'LIMIT_HIT'],
  ['kill', 137, 'SANDBOX_GONE'],
  ['crash', 125, 'AGENT_LOST'],
  ['abandoned', 125, 'AGENT_LOST'],
  ['exit', 125, 'AGENT_LOST'],
] as const)('the end %j is exit code %j and %j', (reason, exitCode, code) => {
  const ending = endingOf(reason, 'x')
  expect(ending.exitCode).toBe(exitCode)
  expect(ending.fault.code).toBe(code)
})

test.each([
  [{}, { exitCode: 0 }],
  [{ exitCode: 3 }, { exitCode: 3 }],
  [{ exitCode: 137 }, { exitCode: 137, fault: expect.objectContaining({ code: 'KILLED', message: 'the program was ended by SIGKILL' }) }],
  [
    { exitCode: 139, signal: 11 },
    { exitCode: 139, fault: expect.objectContaining({ message: 'the program was ended by SIGSEGV' }) },
  ],
  [{ exitCode: 130, signal: 2 }, { exitCode: 130 }],
  [
    { exitCode: 1, limit: 'disk' as const },
    { exitCode: 137, limit: 'disk', fault: expect.objectContaining({ code: 'LIMIT_HIT' }) },
  ],
])('a run that ended with %j is %j', (ended, outcome) => {
  expect(endOf(ended)).toEqual(outcome)
})

test('an exception is 1, an interrupt 130', () => {
  const error = (name: string) => ({ error: { name, value: '', traceback: '' } })
  expect(endOf(error('ValueError')).exitCode).toBe(1)
  expect(endOf(error('KeyboardInterrupt')).exitCode).toBe(130)
})

test('the death of the sandbox says more than the broken conversation', async () => {
  const sandbox = { ended: Promise.resolve({ reason: 'memory', detail: '1024 MiB' }) } as unknown as Sandbox
  expect(await endOfRejection(new Fault('AGENT_LOST', 'eof'), sandbox)).toMatchObject({ exitCode: 137, limit: 'memory' })
  const other = new Fault('LANGUAGE_UNAVAILABLE', 'no node')
  await expect(endOfRejection(other, sandbox)).rejects.toBe(other)
})

test('a fault is one line, whatever its message holds', () => {
  const line = faultLine(new Fault('LAUNCH_FAILED', 'a\nb\u001b[31m\u2028c.'))
  expect(line).toMatch(/^caisson: LAUNCH_FAILED: a b \[31m c\. /)
  expect(line).not.toMatch(/[\p{Cc}\u2028\u2029]/u)
  expect(oneLine('\r\n x \t')).toBe('x')
  // Read from right to left, or not to be seen: as it is written, not as it wants to look.
  expect(oneLine('rm \u202exfr-\u202c \u200b/')).toBe('rm \ufffdxfr-\ufffd \ufffd/')
})

test('a hint that the message ends with is said once', () => {
  const fault = new Fault('LANGUAGE_UNAVAILABLE', 'template base has no r. Install R.', { hint: 'Install R.' })
  expect(faultLine(fault)).toBe('caisson: LANGUAGE_UNAVAILABLE: template base has no r. Install R.')
  expect(faultLine(new Fault('SANDBOX_GONE', 'it was killed', { hint: '' }))).toBe('caisson: SANDBOX_GONE: it was killed.')
})

test('what is not of the catalogue is INTERNAL, with its cause', () => {
  const cause = new TypeError('x is not a function')
  expect(inTheCatalogue(cause)).toMatchObject({ code: 'INTERNAL', cause })
})
