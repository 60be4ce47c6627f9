import { randomBytes } from 'node:crypto'
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeEtc } from './etc.ts'
import { makeGround } from './ground.ts'

const PROGRAM = fileURLToPath(new URL('../../templates/ground.py', import.meta.url))
const signal = new AbortController().signal
const silent = () => undefined
const token = randomBytes(8).toString('hex')
const planted = join('/usr/share', `caisson-ground-${token}`)

let scratch = ''
let ground = ''
beforeAll(async () => {
  await mkdir(join(planted, 'closed'), { recursive: true })
  await Promise.all(['closed/inner', 'private', 'open'].map((name) => writeFile(join(planted, name), token)))
  await chmod(join(planted, 'private'), 0o640)
  await chmod(join(planted, 'closed'), 0o750)
  scratch = await mkdtemp(join(tmpdir(), 'caisson-ground-'))
  const etc = join(scratch, await makeEtc(scratch, '/bin', signal))
  ground = join(scratch, (await makeGround(scratch, etc, PROGRAM, '/usr/bin/python3.11', silent, signal)) ?? '')
  // It walks all of /usr.
}, 120_000)
afterAll(() => Promise.all([planted, scratch].map((path) => rm(path, { recursive: true, force: true }))))

test('hides what not everybody may read, and nothing else', async () => {
  const above = join(ground, planted.slice('/usr/'.length))
  expect((await readdir(above)).sort()).toEqual(['closed', 'private'])
  for (const name of ['closed', 'private']) expect((await lstat(join(above, name))).isCharacterDevice()).toBe(true)
})

test('has no account, address or password of this machine, and the packages that it has', async () => {
  const of = (path: string) => readFile(join(ground, '.caisson', path), 'utf8')
  expect((await of('etc/shadow')).split('\n').filter(Boolean)).toEqual(
    (await of('etc/passwd'))
      .split('\n')
      .filter(Boolean)
      .map((line) => `${line.split(':')[0]}:*:20000:0:99999:7:::`),
  )
  expect((await lstat(join(ground, '.caisson/etc/shadow'))).mode & 0o777).toBe(0o640)
  expect(await of('etc/hosts')).toBe('127.0.0.1 localhost\n::1 localhost\n')
  expect(await readdir(join(ground, '.caisson/etc/apt'))).not.toContain('auth.conf.d')
  expect(await of('var/lib/dpkg/status')).toBe(await readFile('/var/lib/dpkg/status', 'utf8'))
  expect(await of('var/lib/dpkg/statoverride')).toBe('')
  expect((await readdir(join(ground, '.caisson/var/lib/dpkg'))).filter((name) => /^lock|-old$/.test(name))).toEqual([])
})

test('is the same for the same machine', async () => {
  const etc = join(scratch, await makeEtc(scratch, '/bin', signal))
  expect(join(scratch, (await makeGround(scratch, etc, PROGRAM, '/usr/bin/python3.11', silent, signal)) ?? '')).toBe(ground)
  expect((await readdir(scratch)).filter((name) => name.startsWith('.'))).toEqual([])
})
