import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chown, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { OwnAddresses } from '../airlock/own-addresses.ts'
import { CommandLine, type Invoked, ROOT } from '../cli/invoke.ts'

/** Somebody on this machine; whoever works in a folder is told apart by its owner. */
const OWNER = 12_345
const TERMINAL = join(ROOT, 'spec/cli/on-terminal.py')

let line: CommandLine
let registry: Server
let project: string
let addresses: OwnAddresses
let asked: string[]
const canary = join(homedir(), `.caisson-project-canary-${process.pid}`)

beforeAll(async () => {
  line = await CommandLine.open()
  asked = []
  registry = createServer((request, reply) => {
    asked.push(request.url ?? '')
    reply.setHeader('content-type', 'application/json').end('{"name":"left-pad","versions":{}}')
  })
  addresses = await OwnAddresses.open(1)
  await new Promise<void>((resolve) => registry.listen(0, addresses.v4[0], resolve))
  await writeFile(canary, 'of the home folder')
  project = join(line.work, 'project')
  await mkdir(join(project, 'test'), { recursive: true })
  await put('package.json', JSON.stringify({ name: 'app', private: true, scripts: { test: 'node --test test/' } }))
  await put(
    'test/sum.test.js',
    "require('node:test')('adds', () => { require('node:fs').writeFileSync('report.txt', 'green'); require('node:assert').equal(1 + 1, 2) })",
  )
  await put('.env', 'KEY=sk-secret')
  await put('.npmrc', `//registry.example/:_authToken=npm-secret\nregistry=${url()}\n`)
  execFileSync('git', ['init', '--quiet', project])
  execFileSync('chown', ['-R', `${OWNER}:${OWNER}`, project])
  // Whatever a fresh clone has to say about setting itself up, it says here.
  expect((await inProject('true')).exitCode).toBe(0)
})
afterAll(async () => {
  registry.close()
  await addresses[Symbol.asyncDispose]()
  await rm(canary, { force: true })
  await line[Symbol.asyncDispose]()
})

const url = () => `http://${addresses.v4[0]}:${(registry.address() as AddressInfo).port}/`

async function put(path: string, text: string): Promise<void> {
  await writeFile(join(project, path), text)
}

function inProject(...command: string[]): Promise<Invoked> {
  const env = { npm_config_registry: url(), CAISSON_ALLOW_PRIVATE: `${addresses.v4[0]}/32` }
  return line.caisson(['run', '--profile', 'project', '--', ...command], { cwd: project, env })
}

async function recorded(): Promise<string> {
  const folder = join(line.home, 'audit')
  const segments = (await readdir(folder)).filter((name) => name.endsWith('.jsonl'))
  return (await Promise.all(segments.map((name) => readFile(join(folder, name), 'utf8')))).join('')
}

describe('a day in a project', () => {
  test('the tests run where the code is, and what they write is the caller’s', async () => {
    const ended = await inProject('npm', 'test')
    expect(ended).toEqual({ exitCode: 0, stdout: expect.stringContaining('node --test'), stderr: '' })
    expect(await readFile(join(project, 'report.txt'), 'utf8')).toBe('green')
    expect(await stat(join(project, 'report.txt'))).toMatchObject({ uid: OWNER, gid: OWNER })
  })

  test('the command stands in the folder that the caller stands in, and its exit code is the caller’s', async () => {
    expect(await inProject('sh', '-c', 'pwd; exit 7')).toEqual({ exitCode: 7, stdout: `${project}\n`, stderr: '' })
  })

  test('a program finds its data beside it', async () => {
    const ended = await line.caisson(['run', '--profile', 'project', '--lang', 'js', '-c', 'console.log(require("./package.json").name)'], {
      cwd: project,
    })
    expect(ended).toMatchObject({ exitCode: 0, stdout: 'app\n' })
  })

  test('on a terminal it has a terminal: colours, its size, the size that it gets, and Ctrl-C', async () => {
    const command = 'test -t 1 && tput colors; stty size; trap "stty size; trap - WINCH" WINCH; echo ready; while :; do sleep 0.1; done'
    const steps = [
      ['ready', [20, 77]],
      ['20 77', '\u0003'],
    ]
    const caisson = [join(ROOT, 'caisson'), 'run', '--profile', 'project', '--', 'bash', '-c', command]
    const ended = await line.invoke('/usr/bin/python3', [TERMINAL, '33x101', JSON.stringify(steps), ...caisson], {
      cwd: project,
      env: { TERM: 'xterm-256color' },
    })
    expect(ended.stdout.replaceAll('\r', '')).toMatch(/^256\n33 101\nready\n20 77\n/)
    expect(ended.exitCode).toBe(130)
  })

  test('history can be read, and what was changed is told', async () => {
    const ended = await inProject('git', 'status', '--short')
    expect(ended).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('?? package.json') })
  })

  test('the registry that the package client is configured for is reached, without the token being seen', async () => {
    const ended = await inProject('sh', '-c', 'cat .npmrc; npm view left-pad name 2>&1')
    expect(ended.stdout).not.toContain('npm-secret')
    expect(ended.stdout).toContain(`registry=${url()}`)
    expect(asked.join()).toContain('left-pad')
  })

  test('every command is on record, those that children start too', async () => {
    const said = await recorded()
    expect(said).toContain('"npm"')
    expect(said).toMatch(/"--test"/)
  })

  test('nothing of the machine is left behind', async () => {
    expect(await line.leftovers()).toEqual([])
    expect((await readdir(project)).sort()).toEqual(['.env', '.git', '.npmrc', 'package.json', 'report.txt', 'test'])
  })
})

describe('what it may not', () => {
  test('secret files are empty, the rest of home is not there', async () => {
    const ended = await inProject('sh', '-c', `cat .env; cat ${canary}; ls ~ ${homedir()}`)
    expect(ended.stdout).not.toMatch(/sk-secret|of the home folder|canary-/)
    expect(ended.stderr).toMatch(/caisson-project-canary.*(No such file|Permission denied)/)
  })

  test('hooks and settings of git stay as they are', async () => {
    const before = await readFile(join(project, '.git/config'), 'utf8')
    const ended = await inProject('sh', '-c', 'git config core.fsmonitor ./evil; echo evil >.git/hooks/pre-commit; mkdir .claude/hooks')
    expect(ended.stderr.match(/Read-only file system/g)?.length).toBe(3)
    expect(await readFile(join(project, '.git/config'), 'utf8')).toBe(before)
    expect(existsSync(join(project, '.git/hooks/pre-commit'))).toBe(false)
  })

  test('any other host is refused, and why is told', async () => {
    const ended = await inProject('sh', '-c', 'getent hosts example.com || echo none')
    expect(ended.stdout).toBe('none\n')
    expect(ended.stderr).toContain('the network was refused')
    expect((await line.caisson(['why', '--last'])).stdout).toContain('example.com')
  })
})

describe('where it does not begin', () => {
  const refused = async (cwd: string) => {
    const { exitCode, stderr } = await line.caisson(['run', '--profile', 'project', '--', 'true'], { cwd })
    expect(exitCode).toBe(125)
    return stderr
  }

  test('in a home folder, above one, or at the root', async () => {
    expect(await refused(homedir())).toMatch(/BAD_REQUEST: folder: .* is a home folder\. Work in a folder/)
    expect(await refused('/')).toMatch(/BAD_REQUEST: folder: \/ holds the home folder/)
  })

  test('where Caisson’s own state would be shown', async () => {
    expect(await refused(line.folder)).toMatch(/would show Caisson's own state/)
  })

  test('where what the host acts on is a link, which nothing can hold', async () => {
    const odd = join(line.work, 'odd')
    await mkdir(join(odd, 'elsewhere'), { recursive: true })
    await symlink('elsewhere', join(odd, '.git'))
    await chown(odd, OWNER, OWNER)
    expect(await refused(odd)).toMatch(/MOUNT_UNREADABLE: .*\/odd\/\.git is to be read-only .* a link cannot be held/)
  })

  test('where the caller is not said to stand anywhere', async () => {
    const { Sandbox } = await import('../../client/index.ts')
    await expect(Sandbox.create({ profile: 'project', network: 'none' })).rejects.toMatchObject({
      code: 'BAD_REQUEST',
      message: expect.stringContaining('none is named'),
    })
  })
})
