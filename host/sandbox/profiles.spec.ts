import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Profiles } from './profiles.ts'

const shipped = fileURLToPath(new URL('../../profiles', import.meta.url))
const signal = new AbortController().signal

let own: string
let profiles: Profiles
beforeEach(async () => {
  own = await mkdtemp(join(tmpdir(), 'profiles-'))
  profiles = new Profiles([shipped, own])
})
afterEach(() => rm(own, { recursive: true }))
const put = (name: string, content: unknown) => writeFile(join(own, `${name}.json`), JSON.stringify(content))

test('one of one’s own extends one that ships; what is shown says where each thing is from', async () => {
  await put('mine', { extends: 'project', limits: { pids: 64 }, folder: { shown: ['test/*.pem'] } })
  expect((await profiles.list(signal)).map(({ name }) => name)).toContain('mine')
  expect(await profiles.check('mine', signal)).toEqual(['mine', 'project', 'default'])
  const says = await profiles.show('mine', signal)
  const by = (field: string) => says.find((saying) => saying.field === field)
  expect(by('limits.pids')).toEqual({ field: 'limits.pids', value: 64, by: 'mine' })
  expect(by('folder.shown')).toMatchObject({ value: ['test/*.pem'], by: 'mine' })
  expect(by('folder.mode')).toMatchObject({ value: 'rw', by: 'project' })
  expect(by('wall')).toMatchObject({ by: 'default' })
})

test('a file is read as if it lay among the others', async () => {
  const path = join(own, 'draft.json')
  await put('draft', { extends: 'default', folder: { mode: 'ro' } })
  await expect(new Profiles([shipped]).check(path, signal)).rejects.toMatchObject({
    message: expect.stringContaining('draft.json: folder.hidden'),
  })
})

test.each([
  ['one that takes the name of one that ships', 'default', { extends: 'e2b' }, 'has this name already'],
  ['an unknown key in the folder', 'bad', { extends: 'project', folder: { secret: [] } }, 'bad.json:1: folder.secret: no such field'],
  [
    'a pattern that leads out',
    'bad',
    { extends: 'project', folder: { hidden: ['../x'] } },
    'bad.json:1: folder.hidden.0: must not contain',
  ],
  ['a cycle', 'bad', { extends: 'bad' }, 'bad -> bad has no end'],
])('%s is refused with its place', async (_what, name, content, message) => {
  await put(name, content)
  await expect(profiles.check(name, signal)).rejects.toMatchObject({ code: 'PROFILE_INVALID', message: expect.stringContaining(message) })
})

test('a file that is not there is said to be not there', async () => {
  await expect(profiles.check(join(own, 'none.json'), signal)).rejects.toMatchObject({ code: 'PROFILE_UNKNOWN' })
})
