import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { observed } from '../../client/cli/scan/observed.ts'
import { observedPage } from '../../client/cli/scan/observed-page.ts'

const signal = new AbortController().signal
const intended = { imports: ['os'], hosts: ['a.example:443', 'b.example:443'], paths: ['/tmp/x'], commands: ['ls', 'curl'] }

const ID = 'e0000000000000000001'
const GUARDED = 'e0000000000000000002'
const MACHINE = 'e0000000000000000003'
const RECORDS = [
  { sandbox: ID, kind: 'create', wall: 'container', plan: { audit: { commands: true } } },
  { sandbox: ID, kind: 'file', act: 'write', path: '/home/user/main.py', to: null },
  { sandbox: ID, kind: 'exec', path: '/caisson/agent', argv: ['/caisson/agent'] },
  { sandbox: ID, kind: 'exec', path: '/opt/python', argv: ['python', '/caisson/runtimes/main.py'] },
  { sandbox: ID, kind: 'exec', path: '/bin/sh', argv: ['sh', '-c', 'ls; nc'] },
  { sandbox: ID, kind: 'exec', path: '/usr/bin/ls', argv: ['ls'] },
  { sandbox: ID, kind: 'exec', path: '/usr/bin/nc', argv: ['nc'] },
  { sandbox: ID, kind: 'network', verdict: 'tunnel', name: 'a.example' },
  { sandbox: ID, kind: 'network', verdict: 'tunnel', name: 'a.example', port: 443 },
  { sandbox: ID, kind: 'network', verdict: 'deny', address: '192.0.2.1', port: 9 },
  { sandbox: MACHINE, kind: 'create', wall: 'microvm', plan: { audit: { commands: true } } },
  { sandbox: MACHINE, kind: 'exec', path: '/usr/bin/nc', argv: ['nc'], told: 'inside' },
  { sandbox: GUARDED, kind: 'create', wall: 'gvisor', plan: { audit: { commands: false } } },
]

let home: string
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'cai-'))
  await mkdir(join(home, 'audit'))
  const lines = RECORDS.map((record, seq) => JSON.stringify({ seq, ts: '2026-01-01T00:00:00.000Z', ...record }))
  await writeFile(join(home, 'audit/audit.jsonl'), `${lines.join('\n')}\n`)
  vi.stubEnv('CAISSON_HOME', home)
  vi.stubEnv('CAISSON_URL', undefined)
})
afterAll(async () => {
  vi.unstubAllEnvs()
  await rm(home, { recursive: true })
})

test('what was done and not said, and what was said and not done; shells and programs of the wall do not count', async () => {
  const seen = await observed(intended, ID, signal)
  expect(seen).toEqual({
    hosts: { unexpected: ['192.0.2.1:9'], unused: ['b.example:443'] },
    commands: { unexpected: ['nc'], unused: ['curl'] },
    paths: null,
    imports: null,
    carried: ['write /home/user/main.py'],
    unseen: ['imports and paths: what a program opens is recorded by no wall'],
  })
  expect(observedPage(seen, ID)).toMatch(/did, and does not say +command +nc\n/)
})

test('code that names no command and starts a shell is not as it says', async () => {
  const { commands } = await observed({ ...intended, commands: [] }, ID, signal)
  expect(commands?.unexpected).toEqual(['ls', 'nc', 'sh'])
})

test('what a wall does not record is said to be unseen, and is not said not to have been', async () => {
  const seen = await observed(intended, GUARDED, signal)
  expect(seen).toMatchObject({ commands: null, unseen: [expect.any(String), expect.stringContaining('behind wall gvisor')] })
  expect(observedPage(seen, GUARDED)).toContain('not observed: commands')
})

test('what a machine says of itself counts, and is said to be its word', async () => {
  const seen = await observed(intended, MACHINE, signal)
  expect(seen.commands).toEqual({ unexpected: ['nc'], unused: ['curl', 'ls'] })
  expect(seen.unseen).toContainEqual(expect.stringContaining('what the machine says'))
})

test('a sandbox that nobody knows', async () => {
  await expect(observed(intended, 'e0000000000000000009', signal)).rejects.toMatchObject({ code: 'NOT_FOUND' })
})
