import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AuditLog } from './log.ts'
import { type AuditRecord, auditLine } from './record.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'audit-'))
  path = join(folder, 'audit.jsonl')
})
afterEach(() => rmSync(folder, { recursive: true }))

const command = (text: string): AuditRecord => ({ kind: 'command', sandbox: 'i1', command: text, args: [text], user: '', cwd: '' })
const lines = () =>
  readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))

test('a record is one line, says when, and reads back as what it was', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      const line = auditLine(command(text), new Date(0))
      expect(line.indexOf('\n')).toBe(line.length - 1)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/)
      expect(JSON.parse(line)).toEqual({ ts: '1970-01-01T00:00:00.000Z', ...command(text) })
    }),
  )
})

test('long fields and long lists are cut, and say so', () => {
  const record = { ...command('x'.repeat(100_000)), args: Array.from({ length: 10_000 }, () => 'y'.repeat(10_000)) }
  const line = auditLine(record, new Date())
  expect(line.length).toBeLessThan(2 * 1024 * 1024)
  expect(line).toContain('(100000 characters)')
  expect(line).toContain('(10000 in all)')
})

test('records of several writers stand one behind the other', () => {
  using one = new AuditLog(path)
  using other = new AuditLog(path)
  for (let count = 0; count < 50; count += 1) (count % 2 === 0 ? one : other).append(command(`${count}`))
  expect(lines().map(({ command }) => command)).toEqual(Array.from({ length: 50 }, (_, count) => `${count}`))
})

test('a torn tail is moved out of the log, kept, and recorded; what came before it stays as it was', () => {
  const whole = auditLine(command('before'), new Date())
  fc.assert(
    fc.property(fc.integer({ min: 1, max: whole.length - 1 }), (cut) => {
      for (const name of readdirSync(folder)) rmSync(join(folder, name))
      writeFileSync(path, whole + whole.slice(0, cut))
      {
        using _ = new AuditLog(path)
      }
      const [first, second, ...rest] = lines()
      expect(first).toEqual(JSON.parse(whole))
      expect(second).toMatchObject({ kind: 'torn', bytes: cut })
      expect(readFileSync(second.kept, 'utf8')).toBe(whole.slice(0, cut))
      expect(rest).toEqual([])
    }),
    { numRuns: 30 },
  )
})

test('a log that is nothing but a torn line, and one that ends well', () => {
  writeFileSync(path, '{"ts":')
  {
    using _ = new AuditLog(path)
  }
  expect(lines()).toMatchObject([{ kind: 'torn', bytes: 6 }])
  {
    using log = new AuditLog(path)
    log.append(command('later'))
  }
  expect(lines()).toMatchObject([{ kind: 'torn' }, { command: 'later' }])
  expect(readdirSync(folder).filter((name) => name.includes('torn'))).toHaveLength(1)
})

test('a log that cannot be opened or written is AUDIT_UNWRITABLE', () => {
  expect(() => new AuditLog(join(folder, 'missing', 'audit.jsonl'))).toThrow(expect.objectContaining({ code: 'AUDIT_UNWRITABLE' }))
  // A device that takes no byte (full(4)).
  expect(existsSync('/dev/full')).toBe(true)
  using full = new AuditLog('/dev/full')
  expect(() => full.append(command('x'))).toThrow(
    expect.objectContaining({ code: 'AUDIT_UNWRITABLE', message: expect.stringContaining('ENOSPC') }),
  )
})

test('what others append meanwhile is not lost', () => {
  using log = new AuditLog(path)
  log.append(command('ours'))
  appendFileSync(path, auditLine(command('theirs'), new Date()))
  log.append(command('ours again'))
  expect(lines().map(({ command }) => command)).toEqual(['ours', 'theirs', 'ours again'])
})
