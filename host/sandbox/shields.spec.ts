import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { unending } from '../lifetimes.ts'
import { type FolderChoice, readProfile } from './profile.ts'
import { lookThrough } from './shields.ts'

const shipped = fileURLToPath(new URL('../../profiles', import.meta.url))
const signal = unending()
const { folder: choice } = await readProfile([shipped], 'project', signal)

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shields-'))
})
afterEach(() => rm(folder, { recursive: true }))

async function put(path: string, text = 'x'): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true })
  await writeFile(join(folder, path), text)
}

async function found(other: Partial<FolderChoice> = {}): Promise<string[]> {
  if (choice === null) throw new Error('project shows no folder')
  const { shields } = await lookThrough(folder, { ...choice, ...other }, signal)
  return shields.map(({ as, path, content }) => `${as} ${path}${content === undefined ? '' : ` ${JSON.stringify(content)}`}`)
}

test('what is hidden is covered wherever it is, and the folders on the way are pinned, parents first', async () => {
  for (const path of ['.env', 'a/b/.env.local', 'a/.env.example', 'a/plain', 'key.pem', 'home/.aws/credentials', 'x/.docker/config.json'])
    await put(path)
  expect(await found()).toEqual([
    'covered .env',
    'pinned a',
    'pinned a/b',
    'covered a/b/.env.local',
    'pinned home',
    'covered home/.aws',
    'covered key.pem',
    'pinned x',
    'pinned x/.docker',
    'covered x/.docker/config.json',
  ])
})

test('what the host acts on is fixed, with what is below; what is skipped is not looked into', async () => {
  for (const path of ['.git/config', '.git/hooks/pre-commit', 'sub/.git/config', 'node_modules/p/.env', '.mcp.json']) await put(path)
  expect(await found()).toEqual(['fixed .git', 'fixed .mcp.json', 'pinned sub', 'fixed sub/.git'])
})

test('of files with settings, the lines with credentials are taken out; without any, they are left alone', async () => {
  await put('.npmrc', 'registry=http://r/\n//r/:_authToken=abc\nsave-exact=true')
  await put('one/.npmrc', `//r/:_authToken=\${NPM_TOKEN}\nregistry=http://r/\n`)
  await put('.pypirc', '[pypi]\nusername = u\npassword = pw\n')
  await put('.git/config', '[core]\n\tbare = false\n[remote "origin"]\n\turl = https://me:gh@host.example/x.git\n')
  expect(await found()).toEqual([
    'fixed .git',
    `covered .git/config ${JSON.stringify('[core]\n\tbare = false\n[remote "origin"]\n')}`,
    `covered .npmrc ${JSON.stringify('registry=http://r/\nsave-exact=true')}`,
    `covered .pypirc ${JSON.stringify('[pypi]\nusername = u\n')}`,
  ])
})

test('one that is too long to be read is covered as a whole', async () => {
  await put('.npmrc', '#'.repeat(70_000))
  expect(await found()).toEqual(['covered .npmrc ""'])
})

test('a link is followed only to hide what it leads to in the folder', async () => {
  await put('config/production')
  await symlink('config/production', join(folder, '.env'))
  await symlink('/etc/passwd', join(folder, '.env.local'))
  await symlink('nowhere', join(folder, '.env.gone'))
  await symlink('/etc', join(folder, 'etc'))
  expect(await found()).toEqual(['pinned config', 'covered config/production'])
})

test('sockets and pipes of the host are covered', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(join(folder, 'socket'), resolve))
  execFileSync('/usr/bin/mkfifo', [join(folder, 'pipe')])
  expect(await found()).toEqual(['covered pipe', 'covered socket'])
  server.close()
})

test('what cannot be looked through to its end is not shown', async () => {
  const refused = (what: string) => ({ code: 'MOUNT_UNREADABLE', message: expect.stringContaining(what) })
  await symlink('elsewhere', join(folder, '.git'))
  await expect(found()).rejects.toMatchObject(refused('/.git is to be read-only'))
  await rm(join(folder, '.git'))
  await mkdir(join(folder, Array.from({ length: 70 }, () => 'd').join('/')), { recursive: true })
  await expect(found()).rejects.toMatchObject(refused('64 deep'))
  await rm(join(folder, 'd'), { recursive: true })
  for (let number = 0; number < 1000; number += 1) await put(`${number}.pem`)
  await expect(found()).rejects.toMatchObject(refused('more than a sandbox can have'))
})

test('a folder whose name is no UTF-8 cannot be looked through; a file of such a name can be shown, and not hidden', async () => {
  const odd = (hex: string) => Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(hex, 'hex')])
  const [plain, pem, cafe] = [odd('ff2e747874'), odd('ff2e70656d'), odd('636166e9')]
  await writeFile(plain, 'x')
  expect(await found()).toEqual([])
  const refused = { code: 'MOUNT_UNREADABLE', message: expect.stringContaining('UTF-8') }
  await writeFile(pem, 'x')
  await expect(found()).rejects.toMatchObject(refused)
  await rm(pem)
  await mkdir(cafe)
  await writeFile(Buffer.concat([cafe, Buffer.from('/.env')]), 'x')
  await expect(found()).rejects.toMatchObject(refused)
  expect(await found({ skipped: ['caf*'] })).toEqual([])
})
