import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Sandbox, type SandboxOptions } from '../../client/index.ts'
import { SpecHost } from './home.ts'
import { type Kind, Traces } from './traces.ts'

const run = promisify(execFile)

let host: SpecHost
beforeAll(async () => {
  host = await SpecHost.open()
})
afterAll(async () => {
  await host[Symbol.asyncDispose]()
})

const make = (options: SandboxOptions = {}) => Sandbox.create({ ...options, door: host.door })
const ROOT_KINDS: Kind[] = ['process', 'cgroup', 'mount', 'loop device', 'network namespace', 'state', 'ids']

/** A daemon that has left its parent, its session and its signals behind. */
const DAEMON = `
import os, signal, time
if os.fork() == 0:
    os.setsid()
    for number in range(1, 65):
        try: signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError): pass
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
os.wait()
`

test('a live sandbox leaves traces of every kind, and a killed one none', async () => {
  const sandbox = await make()
  const traces = new Traces(host.home, sandbox.id)
  await sandbox.runCode(DAEMON)
  await traces.find()
  expect([...(await traces.find()).keys()].sort()).toEqual([...ROOT_KINDS].sort())
  expect((await sandbox.kill()).reason).toBe('kill')
  expect(await traces.find()).toEqual(new Map())
})

test.each([
  ['timeout', { timeoutMs: 4000 }, 'import time; time.sleep(1000)'],
  ['memory', { memoryMiB: 128 }, 'a = []\nwhile True: a.append(bytearray(1 << 20))'],
  ['memory', { memoryMiB: 128 }, 'f = open("/dev/shm/x", "wb")\nwhile True: f.write(bytes(1 << 20))\n'],
  ['pids', { pids: 40 }, 'import time\nwhile True:\n  try: os.fork() or time.sleep(1000)\n  except OSError: time.sleep(1)'],
  ['disk', { diskMiB: 16 }, 'open("/tmp/x", "wb").write(bytes(64 << 20))'],
  ['disk', { diskMiB: 16 }, 'for n in range(10**6): open(f"/home/user/{n}", "w").close()'],
  ['output', { outputMiB: 1 }, 'while True: print("x" * 4096)'],
] as const)('%s: typed, and nothing survives it', async (reason, limits, code) => {
  const sandbox = await make(limits)
  const traces = new Traces(host.home, sandbox.id)
  await sandbox.runCode(DAEMON)
  await traces.find()
  const result = await sandbox.runCode(code)
  expect(result.limit).toBe(reason)
  expect((await sandbox.ended).reason).toBe(reason)
  expect(await traces.find()).toEqual(new Map())
  await expect(sandbox.runCode('1')).rejects.toMatchObject({ code: 'SANDBOX_GONE', message: expect.stringContaining(reason) })
  const records = (await readFile(join(host.home, 'audit', 'audit.jsonl'), 'utf8')).trim().split('\n')
  const ours = records.map((line) => JSON.parse(line)).filter((record) => record.sandbox === sandbox.id)
  expect(ours.map((record) => record.kind)).toContain('create')
  expect(ours.at(-1)).toMatchObject({ kind: 'death', reason })
})

test('a neighbour notices nothing of a sandbox that hits its limits', async () => {
  await using neighbour = await make()
  await neighbour.runCode('kept = 41')
  const noisy = await Promise.all([make({ memoryMiB: 96 }), make({ pids: 32 }), make({ diskMiB: 8 })])
  const bombs = ['x = bytearray(1 << 30)', 'while True: os.fork()', 'open("/tmp/x", "wb").write(bytes(64 << 20))']
  const hits = await Promise.all(noisy.map((sandbox, index) => sandbox.runCode(`import os\n${bombs[index]}`)))
  expect(hits.map((hit) => hit.limit)).toEqual(['memory', 'pids', 'disk'])
  const { text } = await neighbour.runCode('kept + 1')
  expect(text).toBe('42')
  expect((await neighbour.commands.run('df --output=pcent /tmp | tail -1; nproc >/dev/null && echo fine')).stdout).toContain('fine')
})

test('a cpu quota holds', async () => {
  await using sandbox = await make({ cpus: 0.25 })
  const { stdout } = await sandbox.runCode(
    'import time\nwall, cpu = time.monotonic(), time.process_time()\nwhile time.monotonic() - wall < 2: pass\nprint((time.process_time() - cpu) / (time.monotonic() - wall))',
  )
  expect(Number(stdout)).toBeLessThan(0.5)
})

test('the record of a death tells what all its processes used, those that were killed too', async () => {
  const sandbox = await make()
  await sandbox.runCode('import time\nwhile time.process_time() < 0.5: pass')
  expect((await sandbox.kill()).cpuUs).toBeGreaterThan(400_000)
})

test('open files are limited, for every process', async () => {
  await using sandbox = await make({ openFiles: 64 })
  const code =
    'import os\nfds = []\ntry:\n  while True: fds.append(os.open("/dev/null", 0))\nexcept OSError as error: print(error.errno, len(fds) < 64)'
  expect((await sandbox.runCode(code)).stdout).toBe('24 True\n')
  expect((await sandbox.commands.run('ulimit -n; ulimit -Hn')).stdout).toBe('64\n64\n')
})

test('a keeper that is killed takes the sandbox with it, and the host clears up', async () => {
  const sandbox = await make()
  const traces = new Traces(host.home, sandbox.id)
  await sandbox.runCode(DAEMON)
  await traces.find()
  const agents = [...((await traces.find()).get('process') ?? [])].filter((line) => line.includes('/caisson/agent'))
  const keeper = Number(/PPid:\s+(\d+)/.exec(await readFile(`/proc/${Number(agents[0]?.split(' ')[0])}/status`, 'utf8'))?.[1])
  process.kill(keeper, 'SIGKILL')
  expect((await sandbox.ended).reason).toBe('crash')
  const left = await traces.find()
  // The number's file stays until the number is taken again; its lock went with the keeper.
  for (const number of left.get('ids') ?? []) await run('flock', ['--nonblock', `/run/caisson/ids/${number}`, 'true'])
  left.delete('ids')
  expect(left).toEqual(new Map())
})
