import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Canaries } from '../../client/attacks/canaries.ts'
import { Sandbox } from '../../client/index.ts'
import { attack, python, shared } from './attack.ts'

const wall = shared()
const canaries = new Canaries(['/home', '/root'])
let folder = -1
beforeAll(async () => {
  await canaries.plant()
  folder = openSync('/home', 'r')
})
afterAll(async () => {
  closeSync(folder)
  await canaries[Symbol.asyncDispose]()
})

attack(wall, 'a folder of the host left open', {
  why: 'an open folder is a way out of every mount namespace (CVE-2016-9962, CVE-2024-21626)',
  place: 'here',
  leak: () => folder,
  facts: () => ({ path: canaries.path, token: canaries.token }),
  stoppedBy: /^(nothing is open|ENOENT|EACCES|EPERM)/,
  code: python`
def read(at, path):
    with os.fdopen(os.open(path, os.O_RDONLY, dir_fd=at)) as file:
        assert file.read() == facts['token']
    return facts['token']

# What was open before this program opened anything of its own; the last one is the pipe to its parent.
INHERITED = [number for number in range(3, 1024) if os.path.exists(f'/proc/self/fd/{number}')]

@way('an inherited descriptor')
def inherited():
    for number in INHERITED:
        try:
            return read(number, '../' + facts['path'])
        except OSError:
            continue
    raise Contained('nothing is open')

@way('the first process’s')
def first():
    target = os.getppid() if os.path.exists(f"/proc/self/fd/3") and not os.path.exists('/caisson') else 1
    for name in os.listdir(f'/proc/{target}/fd'):
        path = f'/proc/{target}/fd/{name}'
        if os.path.isdir(path):
            return read(None, f"{path}/..{facts['path']}")
    raise Contained('nothing is open')
`,
})

describe('what a new process has open', () => {
  for (const user of ['user', 'root']) {
    test(`a command of ${user}`, async () => {
      const { stdout } = await wall.sandbox.commands.run(['/usr/bin/python3', '-I', '-c', OPEN], { user })
      expect(JSON.parse(stdout)).toEqual({ 0: '/dev/null', 1: 'pipe', 2: 'pipe' })
    })
  }

  test('a command with a terminal', async () => {
    const running = await wall.sandbox.commands.start(['/usr/bin/python3', '-I', '-c', OPEN], { pty: { columns: 500, rows: 24 } })
    const { stdout } = await running.wait()
    expect(JSON.parse(stdout || '{}')).toEqual({ 0: '/dev/pts/0', 1: '/dev/pts/0', 2: '/dev/pts/0' })
  })
})

describe('what a runtime has open', () => {
  // Nothing that has a path but /dev/null, and one socket: the control channel.
  const LOOK = `
found = []
for name in os.listdir('/proc/self/fd'):
    try:
        found.append(os.readlink('/proc/self/fd/' + name).split('[')[0])
    except OSError:
        pass
print(json.dumps(found))`
  const LOOKS = {
    python: `import json, os\n${LOOK}`,
    javascript: `const { readdirSync, readlinkSync } = require('node:fs')
const look = (name) => { try { return readlinkSync('/proc/self/fd/' + name).split('[')[0] } catch { return '/dev/null' } }
console.log(JSON.stringify(readdirSync('/proc/self/fd').map(look)))`,
    bash: `found=; for n in /proc/$$/fd/*; do one=$(readlink $n); found="$found,\\"\${one%%[*}\\""; done; echo "[\${found#,}]"`,
  }
  for (const [language, code] of Object.entries(LOOKS)) {
    test(language, async () => {
      await using sandbox = await Sandbox.create({ template: language === 'python' ? 'code-interpreter' : 'base' })
      const { stdout, error } = await sandbox.runCode(code, { language })
      expect(error).toBeUndefined()
      const found = JSON.parse(stdout) as string[]
      expect(found.filter((one) => one === 'socket:')).toHaveLength(1)
      expect(found.filter((one) => !['/dev/null', 'pipe:', 'socket:', 'anon_inode:'].includes(one))).toEqual([])
    })
  }
})

test('what the host’s own parent left open does not get in', async () => {
  const cli = fileURLToPath(new URL('../../dist/caisson.cjs', import.meta.url))
  const command = ['run', '--template', 'base', '--', '/usr/bin/python3', '-I', '-c', OPEN]
  const child = spawn(process.execPath, [cli, ...command], { stdio: ['ignore', 'pipe', 'inherit', folder, folder, folder, folder] })
  const pieces: Buffer[] = []
  child.stdio[1]?.on('data', (piece: Buffer) => pieces.push(piece))
  const [code] = (await once(child, 'close')) as [number]
  expect({ code, found: JSON.parse(Buffer.concat(pieces).toString() || '{}') }).toEqual({
    code: 0,
    found: { 0: 'pipe', 1: 'pipe', 2: 'pipe' },
  })
})

const OPEN = `
import json, os
found = {}
for number in range(1024):
    try:
        found[number] = os.readlink(f'/proc/self/fd/{number}').split(':')[0]
    except OSError:
        pass
print(json.dumps(found))
`

describe('a working directory that is a descriptor (CVE-2024-21626)', () => {
  const numbers = Array.from({ length: 16 }, (_, index) => index)
  for (const user of ['user', 'root']) {
    test(`for ${user}: refused, or a place inside`, async () => {
      for (const cwd of numbers.flatMap((number) => [`/proc/self/fd/${number}`, `/proc/1/fd/${number}`])) {
        const up = '../'.repeat(20)
        const attempt = wall.sandbox.commands.run(['/usr/bin/cat', `${up}${canaries.path}`], { user, cwd })
        const { stdout, exitCode } = await attempt.catch((error: unknown) => {
          expect((error as { code?: string }).code).toMatch(/^(FILE_|NOT_FOUND)/)
          return { stdout: '', exitCode: 1 }
        })
        expect({ cwd, stdout, exitCode }).toEqual({ cwd, stdout: '', exitCode: 1 })
      }
    })
  }
})
