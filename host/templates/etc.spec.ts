import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeEtc, written } from './etc.ts'

let scratch = ''
let host = ''
const signal = new AbortController().signal
const PATH = '/some/bin:/bin'

async function plant(path: string, content: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(join(host, path)), { recursive: true })
  await writeFile(join(host, path), content)
  await chmod(join(host, path), mode)
}

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'caisson-etc-'))
  host = join(scratch, 'host')
  await mkdir(host)
})
afterEach(() => rm(scratch, { recursive: true, force: true }))

test('takes nothing but what is on the list, and of that what all may read', async () => {
  await plant('shadow', 'root:$6$secret')
  await plant('passwd', 'ada:x:1001:1001:Ada Lovelace:/home/ada:/bin/bash')
  await plant('hosts', '10.0.0.5 payroll.example')
  await plant('resolv.conf', 'nameserver 10.0.0.1')
  await plant('ssh/ssh_host_ed25519_key', 'secret')
  await plant('ssl/private/server.key', 'secret')
  await plant('ssl/certs/ca.pem', 'public')
  await plant('ssl/certs/mine.pem', 'secret', 0o600)
  await plant('services', 'http 80/tcp')
  await plant('R/Renviron.site', 'TOKEN=secret')
  const etc = join(scratch, 'made', await makeEtc(join(scratch, 'made'), PATH, signal, host))

  const names = (await readdir(etc, { recursive: true })).sort()
  const own = [...Object.keys(written(PATH)), 'pam.d', 'localtime', 'mtab', 'os-release']
  expect(names.filter((name) => !own.includes(name))).toEqual(['services', 'ssl', 'ssl/certs', 'ssl/certs/ca.pem'])
  const all = await Promise.all(Object.keys(written(PATH)).map((name) => readFile(join(etc, name), 'utf8')))
  expect(all.join('\n')).not.toMatch(/secret|ada|payroll|10\.0\.0/)
})

test('copies links that lead to /usr or stay in /etc, and no other', async () => {
  await mkdir(join(host, 'alternatives'))
  await symlink('/usr/bin/vim.basic', join(host, 'alternatives/vi'))
  await symlink('/opt/jdk/bin/java', join(host, 'alternatives/java'))
  await symlink('/var/lib/secret', join(host, 'alternatives/var'))
  await symlink('../../../../../root/.ssh/id_rsa', join(host, 'alternatives/up'))
  await mkdir(join(host, 'fonts'))
  await symlink('../alternatives/vi', join(host, 'fonts/within'))
  const etc = join(scratch, 'made', await makeEtc(join(scratch, 'made'), PATH, signal, host))
  expect(await readdir(join(etc, 'alternatives'))).toEqual(['vi'])
  expect((await lstat(join(etc, 'fonts/within'))).isSymbolicLink()).toBe(true)
})

test('the same content has the same name, and another another; no half-made folder stays', async () => {
  await plant('services', 'http 80/tcp')
  const made = join(scratch, 'made')
  const first = await makeEtc(made, PATH, signal, host)
  expect(await makeEtc(made, PATH, signal, host)).toBe(first)
  await plant('services', 'http 80/tcp\nhttps 443/tcp')
  const second = await makeEtc(made, PATH, signal, host)
  expect(second).not.toBe(first)
  expect((await readdir(made)).sort()).toEqual([first, second].sort())
  await expect(makeEtc(made, PATH, AbortSignal.abort(), host)).rejects.toThrow()
  expect((await readdir(made)).sort()).toEqual([first, second].sort())
})

test('everyone may read what was made', async () => {
  await plant('fonts/conf.d/10.conf', 'x')
  const made = join(scratch, 'made')
  const etc = join(made, await makeEtc(made, PATH, signal, host))
  for (const name of ['.', 'passwd', 'fonts', 'fonts/conf.d', 'fonts/conf.d/10.conf']) {
    expect((await lstat(join(etc, name))).mode & 0o444, name).toBe(0o444)
  }
})

test('sudo asks for nothing, keeps nothing of its caller, and nobody else may read its rules', async () => {
  const made = join(scratch, 'made')
  const etc = join(made, await makeEtc(made, PATH, signal, host))
  expect((await lstat(join(etc, 'sudoers'))).mode & 0o777).toBe(0o440)
  expect(await readFile(join(etc, 'sudoers'), 'utf8')).toBe(written(PATH)['sudoers'])
  expect(written(PATH)['sudoers']).toContain('env_reset')
  expect(written(PATH)['sudoers']).toContain(`secure_path="${PATH}"`)
  expect(await makeEtc(made, '/other/bin', signal, host)).not.toBe(basename(etc))
})
