import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { lineOfMember } from './json-lines.ts'
import { readProfile } from './profile.ts'

const shipped = fileURLToPath(new URL('../../profiles', import.meta.url))
const signal = new AbortController().signal

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'profiles-'))
})
afterEach(() => rm(folder, { recursive: true }))
const put = (name: string, content: unknown) =>
  writeFile(join(folder, `${name}.json`), typeof content === 'string' ? content : JSON.stringify(content))

test('every profile that ships is whole, and what it is said to be', async () => {
  const names = (await readdir(shipped)).map((file) => file.replace('.json', ''))
  expect(names.sort()).toEqual(['account', 'code-interpreter', 'default', 'e2b', 'function', 'project', 'workspace'])
  expect(await readProfile([shipped], 'e2b', signal)).toMatchObject({
    limits: { timeoutMs: null, outputMiB: null, cpus: 2, pids: 1024, openFiles: 8192, onHit: 'report' },
    leash: 'none',
    noNewPrivileges: false,
    seccomp: { allowUserNamespaces: false },
  })
  for (const name of ['code-interpreter', 'default']) {
    const profile = await readProfile([shipped], name, signal)
    expect(profile).toMatchObject({
      name,
      wall: name === 'default' ? 'container' : ['gvisor', 'container'],
      network: 'none',
      leash: 'host',
    })
    expect(profile.limits).toEqual({
      timeoutMs: 120_000,
      memoryMiB: 1024,
      cpus: 1,
      pids: 128,
      diskMiB: 1024,
      outputMiB: 64,
      openFiles: 1024,
      onHit: 'end',
    })
    expect(profile.audit.commands).toBe(true)
    expect(profile.seccomp.allowUserNamespaces).toBe(false)
    expect(profile.noNewPrivileges).toBe(true)
  }
})

test('rules that are wrong are refused when the profile is read, with the line and the reason', async () => {
  const { name: _, ...whole } = await readProfile([shipped], 'default', signal)
  const refusal = async (network: unknown) => {
    await put('wrong', JSON.stringify({ ...whole, network }, null, 2))
    return readProfile([folder], 'wrong', signal).then(
      () => 'read',
      ({ code, message }: { code: string; message: string }) => `${code} ${message.replace(`${folder}/`, '')}`,
    )
  }
  expect(await refusal({ mode: 'allow', allow: ['registries', 'a.example:443'] })).toBe('read')
  expect(await refusal({ mode: 'allow', allow: ['a.example', '10.0.0.0/33'] })).toMatch(
    /^PROFILE_INVALID wrong\.json:\d+: network\.allow\.1: "10\.0\.0\.0\/33" is not a cidr/,
  )
  expect(await refusal({ mode: 'allow', allow: [{ rule: '*.a.example', match: ['a.example'] }] })).toMatch(
    /:\d+: network\.allow\.0\.match\.0: the rule/,
  )
  expect(await refusal({ mode: 'open', deny: ['a.example', 'A.example'] })).toMatch(
    /network\.deny\.1: "a\.example" stands at network\.deny\.0/,
  )
  expect(await refusal({ mode: 'allow', first: 'deny', allow: ['a.example'], deny: ['*.example'] })).toMatch(/never takes effect/)
  expect(await refusal({ mode: 'closed' })).toMatch(/network\.mode/)
  expect(await refusal('allow:a..example')).toMatch(/network\.allow\.0/)
  expect(await refusal({ mode: 'allow', allow: ['a.example'], credentials: [{ secret: 'KEY' }] })).toMatch(
    /^PROFILE_INVALID wrong\.json:\d+: network\.credentials\.0\.host/,
  )
  expect(await refusal({ mode: 'open', dlp: { detectors: { 'no-such': 'block' } } })).toMatch(
    /^PROFILE_INVALID wrong\.json:\d+: network\.dlp\.detectors\.no-such/,
  )
})

test('the line of a member is found among strings that look like JSON; of one that is not there, that of what is around it', () => {
  const text = '{\n "a}": "{[\\"",\n "b": [1, {\n "c": "],",\n "d": null}, [\n [], {"e": 2}]]\n}'
  for (const [place, line] of [
    ['a}', 2],
    ['b', 3],
    ['b.1.c', 4],
    ['b.1.d', 5],
    ['b.2.1.e', 6],
    ['b.1.none', 3],
    ['b.9', 3],
    ['none', 1],
    ['', 1],
  ] as const)
    expect([place, lineOfMember(text, place)]).toEqual([place, line])
})

test('a profile takes from the one it extends what it does not say, member by member, over several steps', async () => {
  const base = await readProfile([shipped], 'default', signal)
  const { name: _, ...whole } = base
  await put('one', whole)
  await put('two', { extends: 'one', limits: { memoryMiB: 64 }, audit: { commands: false } })
  await put('three', { extends: 'two', limits: { pids: null } })
  const three = await readProfile([folder], 'three', signal)
  expect(three).toEqual({
    ...base,
    name: 'three',
    limits: { ...base.limits, memoryMiB: 64, pids: null },
    audit: { commands: false, maxMiB: base.audit.maxMiB },
  })
  expect(three).not.toHaveProperty('extends')
})

test.each<[string, string, unknown, string]>([
  ['an unknown field', 'PROFILE_INVALID', '{\n  "extends": "whole",\n  "memory": 5\n}', 'bad.json:3: memory: no such field'],
  [
    'an unknown field in a group',
    'PROFILE_INVALID',
    { extends: 'whole', limits: { memory: 5 } },
    'bad.json:1: limits.memory: no such field',
  ],
  ['a value of the wrong kind', 'PROFILE_INVALID', { extends: 'whole', limits: { pids: 'many' } }, 'bad.json:1: limits.pids'],
  ['a value out of bounds', 'PROFILE_INVALID', { extends: 'whole', limits: { cpus: -1 } }, 'bad.json:1: limits.cpus'],
  ['something missing', 'PROFILE_INVALID', { description: 'x' }, 'bad.json: wall'],
  ['text that is not JSON', 'PROFILE_INVALID', '{\n  "wall": "gvisor",\n  "network" "none"\n}', 'bad.json:3: '],
  ['text that breaks off', 'PROFILE_INVALID', '{\n', 'bad.json:2: '],
  ['no object', 'PROFILE_INVALID', '[]', 'bad.json:1: '],
  ['itself to extend', 'PROFILE_INVALID', { extends: 'bad' }, 'bad -> bad'],
  ['one to extend that extends it', 'PROFILE_INVALID', { extends: 'back' }, 'bad.json: extends: bad -> back -> bad has no end'],
  ['nothing to extend', 'PROFILE_INVALID', { extends: 'nobody' }, 'extends: no profile nobody'],
])('a profile with %s is refused by file and field', async (_what, code, content, named) => {
  const { name: _, ...whole } = await readProfile([shipped], 'default', signal)
  await put('whole', whole)
  await put('back', { extends: 'bad' })
  await put('bad', content)
  await expect(readProfile([folder], 'bad', signal)).rejects.toMatchObject({ code, message: expect.stringContaining(named) })
})

test.each(['nobody', '../default', '/etc/passwd', '', 'a/b', 'UPPER'])(
  '%j is no profile, and the error lists those that are',
  async (name) => {
    await expect(readProfile([shipped], name, signal)).rejects.toMatchObject({
      code: 'PROFILE_UNKNOWN',
      message: expect.stringContaining('default'),
    })
  },
)
