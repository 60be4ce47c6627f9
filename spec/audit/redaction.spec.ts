import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { AuditLog } from '../../host/audit/log.ts'
import type { AuditRecord } from '../../host/audit/record.ts'
import * as detectors from '../../policy/dlp/detectors/shelf.ts'
import { RECORDER } from './logs.ts'

const home = mkdtempSync(join(tmpdir(), 'redaction-'))
const folder = join(home, 'audit')
const STORED = 'correct horse battery staple'
let log: AuditLog
beforeAll(() => {
  mkdirSync(folder)
  mkdirSync(join(home, 'secrets'))
  log = new AuditLog({
    folder,
    recorder: RECORDER,
    segmentBytes: 1 << 30,
    keep: { bytes: 0, ms: 0 },
    terminals: { mode: 'off', maxBytes: 0 },
  })
})
afterAll(() => {
  log[Symbol.dispose]()
  rmSync(home, { recursive: true })
})

/** The same record, as it stands in the log. */
function recorded(record: AuditRecord, variables: Record<string, string> = {}): Record<string, unknown> {
  log.append(record, variables)
  return JSON.parse(readFileSync(join(folder, 'audit.jsonl'), 'utf8').trimEnd().split('\n').at(-1) ?? '')
}
function words(line: readonly string[], variables: Record<string, string> = {}): string[] {
  const [command = '', ...args] = line
  const { command: program, args: rest } = recorded({ kind: 'command', sandbox: 'i1', command, args, user: '', cwd: '' }, variables)
  return [program as string, ...(rest as string[])]
}
const code = (text: string, variables: Record<string, string> = {}) =>
  recorded({ kind: 'run', sandbox: 'i1', context: 'c', language: 'python', code: text, codeBytes: text.length }, variables)['code']

test('hundreds of secret variables are found in long words, wherever they overlap', () => {
  const variables = Object.fromEntries(Array.from({ length: 500 }, (_, number) => [`TOKEN_${number}`, `${'z'.repeat(40)}${number}.`]))
  const long = 'z'.repeat(900)
  const shown = words(['tool', `${long}17.`, `${long}18,`, ...Array(3).fill('y'.repeat(900)), `zz${'z'.repeat(40)}499.x`], variables)
  expect(shown).toEqual(['tool', `${'z'.repeat(900 - 40)}[redacted]`, `${long}18,`, ...Array(3).fill('y'.repeat(900)), 'zz[redacted]x'])
})

test('what follows a flag that asks for a secret is not recorded, and what is none is', () => {
  for (const [line, shown] of [
    [
      ['tool', '--password', 'hunter22', 'x'],
      ['tool', '--password', '[redacted]', 'x'],
    ],
    [
      ['tool', '--password=hunter 22', 'x'],
      ['tool', '--password=[redacted]', 'x'],
    ],
    [
      ['java', '-password', 'hunter22'],
      ['java', '-password', '[redacted]'],
    ],
    [
      ['tool', '--api-key', 'abcdef'],
      ['tool', '--api-key', '[redacted]'],
    ],
    [
      ['mysql', '-phunter22', '-u', 'root'],
      ['mysql', '-p[redacted]', '-u', 'root'],
    ],
    [
      ['/usr/bin/sshpass', '-p', 'hunter22', 'mysqldump', '-phunter23'],
      ['/usr/bin/sshpass', '-p', '[redacted]', 'mysqldump', '-p[redacted]'],
    ],
    [
      ['sudo', 'docker', 'login', '-u', 'me', '-p', 'hunter22'],
      ['sudo', 'docker', 'login', '-u', 'me', '-p', '[redacted]'],
    ],
    [
      ['curl', '-u', 'me:hunter22', '-Ume:hunter23', 'x'],
      ['curl', '-u', 'me:[redacted]', '-Ume:[redacted]', 'x'],
    ],
    [
      ['curl', '-H', 'Authorization: Bearer abc.def', 'x'],
      ['curl', '-H', 'Authorization: [redacted]', 'x'],
    ],
    [
      ['curl', '-H', 'X-Api-Key: abc', 'https://h/?access_token=abc&page=2'],
      ['curl', '-H', 'X-Api-Key: [redacted]', 'https://h/?access_token=[redacted]&page=2'],
    ],
    [
      ['git', 'clone', 'https://me:hunter22@h/r.git'],
      ['git', 'clone', 'https://me:[redacted]@h/r.git'],
    ],
    [
      ['env', 'DB_PASSWORD=hunter 22', 'redis-cli', '-a', 'x1'],
      ['env', 'DB_PASSWORD=[redacted]', 'redis-cli', '-a', '[redacted]'],
    ],
    [
      ['bash', '-c', "mysql -phunter22 -e 'select 1'; ls -p dir"],
      ['bash', '-c', "mysql -p[redacted] -e 'select 1'; ls -p dir"],
    ],
    [
      ['bash', '-c', 'tool --token "a b c" --verbose'],
      ['bash', '-c', 'tool --token "[redacted]" --verbose'],
    ],
    [
      ['python3', '-c', 'run(["tool", "--password", "hunter22"])'],
      ['python3', '-c', 'run(["tool", "--password", "[redacted]"])'],
    ],
  ] as const) {
    expect(words(line)).toEqual(shown)
  }
  for (const line of [
    ['mkdir', '-p', '/a/b'],
    ['ssh', '-p', '2222', 'host'],
    ['docker', 'run', '-p', '80:80', 'image'],
    ['tool', '--password-file', '/run/pw', '--max-tokens', '100', '--no-password', 'x'],
    ['curl', '-u', 'me', 'https://host:8080/@scope', '-H', 'Accept: text/plain'],
    ['python3', '-c', 'token = read_token(path)\nprint(tokenizer.encode("x"))\nif secret == other: pass'],
    ['git', 'clone', 'ssh://git@host/r.git'],
    ['echo', 'the key-value store is a monkey', 'AKIA', 'risk_live_x'],
  ]) {
    expect(words(line)).toEqual(line)
  }
})

test('the values of stored secrets and of variables that are secrets by their names are not recorded, wherever they stand', () => {
  const variables = { DEPLOY_TOKEN: 'blue-green-7', HOME: '/home/user', PASSWORD_FILE: '/run/secrets/pw' }
  expect(words(['echo', 'xblue-green-7y', '/home/user', '/run/secrets/pw'], variables)).toEqual([
    'echo',
    'x[redacted]y',
    '/home/user',
    '/run/secrets/pw',
  ])
  expect(code('print("blue-green-7")', variables)).toBe('print("[redacted]")')
  expect(words(['echo', STORED])).toEqual(['echo', STORED])
  writeFileSync(join(home, 'secrets', 'NAME'), STORED)
  expect(words(['echo', `a${STORED}b`])).toEqual(['echo', 'a[redacted]b'])
  const { metadata } = recorded({
    kind: 'create',
    sandbox: 'i1',
    profile: 'p',
    template: 't',
    wall: 'container',
    sha256: { profile: '', policy: null },
    metadata: { note: STORED, user: 'me' },
    plan: {},
  })
  expect(metadata).toEqual({ note: '[redacted]', user: 'me' })
  const act = { kind: 'act', sandbox: 'i1', by: 'me', act: 'network' } as const
  expect(recorded({ ...act, detail: { rules: `{"headers":{"X-Auth-Token":"abc-123"},"x":"${STORED}"}`, count: 1 } })['detail']).toEqual({
    rules: '{"headers":{"X-Auth-Token":"[redacted]"},"x":"[redacted]"}',
    count: 1,
  })
  // However long what is before it: nothing of it is left at the border where texts are cut.
  for (let before = 16_384 - STORED.length; before < 16_384 + 4; before += 5) {
    const text = code(`${'-'.repeat(12_300)}${STORED.repeat(200)}`.slice(0, before) + STORED)
    expect(text).not.toContain('battery')
  }
  rmSync(join(home, 'secrets', 'NAME'))
  expect(words(['echo', STORED])).toEqual(['echo', STORED])
})

test('what the detectors of what may not leave call a key or a password is not recorded', () => {
  const { cloud, code: hosts, models, passwords, privateKeys, providers } = detectors
  let tried = 0
  for (const { name, examples } of [cloud, hosts, models, passwords, privateKeys, providers].flatMap((family) => family.detectors)) {
    for (const example of examples.match) {
      // A key as bytes is in no command line: a NUL ends it.
      if (example.includes('\0')) continue
      tried += 1
      expect(code(example), `${name}: ${example}`).toContain('[redacted]')
      expect(words(['tool', example]).join(' '), `${name}: ${example}`).toContain('[redacted]')
    }
  }
  expect(tried).toBeGreaterThan(40)
})

test('where secrets cannot be read, nothing is recorded', () => {
  mkdirSync(join(home, 'secrets', 'FOLDER'))
  expect(() => words(['true'])).toThrow(expect.objectContaining({ code: 'AUDIT_UNWRITABLE' }))
  rmSync(join(home, 'secrets', 'FOLDER'), { recursive: true })
  expect(words(['true'])).toEqual(['true'])
})
