import { existsSync } from 'node:fs'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Sandbox } from '../../client/index.ts'
import { SpecHost } from './home.ts'
import { RENEWED } from './renewed.ts'

let host: SpecHost
let sandboxes: Sandbox[]
beforeAll(async () => {
  host = await SpecHost.open()
  sandboxes = await Promise.all(Array.from({ length: 6 }, () => Sandbox.create({ door: host.door })))
})
afterAll(async () => {
  await Promise.all(sandboxes.map((sandbox) => sandbox.kill()))
  await host[Symbol.asyncDispose]()
})

test('creation starts no interpreter: it is a fork, warm, and a child of PID 1', async () => {
  expect(host.notices).toEqual([])
  for (const sandbox of sandboxes) {
    const { stdout } = await sandbox.runCode(
      'import os, sys\nprint(os.getppid(), "pandas" in sys.modules, "matplotlib.pyplot" in sys.modules)',
    )
    expect(stdout).toBe('1 True True\n')
    const records = (await readFile(`${host.home}/audit/audit.jsonl`, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const execs = records.filter((record) => record.sandbox === sandbox.id && record.kind === 'exec').map((record) => record.path)
    expect(execs).toEqual(['/caisson/agent'])
  }
})

test.each(RENEWED.map(({ what, code }) => [what, code] as const))('%s differs in every fork', async (_what, code) => {
  const said = await Promise.all(sandboxes.map(async (sandbox) => (await sandbox.runCode(code)).stdout))
  expect(said.every((text) => text.trim() !== '')).toBe(true)
  expect(new Set(said).size).toBe(sandboxes.length)
})

test('a sandbox has booted once, by itself: not with the host, and it cannot say otherwise', async () => {
  const [sandbox] = sandboxes
  if (sandbox === undefined) throw new Error('no sandbox')
  const read = async () => (await sandbox.commands.run('cat /proc/sys/kernel/random/boot_id')).stdout
  const said = await read()
  expect(said).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n$/)
  expect(said).not.toBe(await readFile('/proc/sys/kernel/random/boot_id', 'utf8'))
  const write = 'echo x > /proc/sys/kernel/random/boot_id; echo x > /caisson/boot_id; umount /proc/sys/kernel/random/boot_id'
  expect((await sandbox.commands.run(write, { user: 'root' })).exitCode).not.toBe(0)
  expect(await read()).toBe(said)
  expect((await sandbox.runCode('print(open("/proc/sys/kernel/random/boot_id").read(), end="")')).stdout).toBe(said)
})

test('a second context of the same sandbox is a fork as well, with randomness of its own', async () => {
  const [sandbox] = sandboxes
  if (sandbox === undefined) throw new Error('no sandbox')
  const context = await sandbox.contexts.create({ language: 'python' })
  const code = 'import random, numpy as np, os; print(os.getppid(), random.random(), np.random.rand())'
  const [one, other] = [await sandbox.runCode(code), await sandbox.runCode(code, { context })]
  expect(one.stdout).toMatch(/^1 /)
  expect(other.stdout).toMatch(/^1 /)
  expect(one.stdout).not.toBe(other.stdout)
})

test("a fork has the sandbox's rights, and the zygote's environment and descriptors are not in it", async () => {
  const [sandbox] = sandboxes
  if (sandbox === undefined) throw new Error('no sandbox')
  const { stdout } = await sandbox.runCode(
    [
      'import os, re',
      'status = open("/proc/self/status").read()',
      'for name in ("Uid", "CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs", "Seccomp"):',
      '    print(name, *re.search(rf"^{name}:\\s+(.*)$", status, re.M)[1].split())',
      'print(sorted(fd for fd in os.listdir("/proc/self/fd") if int(fd) < 3))',
      'print([name for name in os.environ if "ZYGOTE" in name])',
    ].join('\n'),
  )
  expect(stdout.split('\n')).toEqual([
    'Uid 1000 1000 1000 1000',
    'CapInh 0000000000000000',
    'CapPrm 0000000000000000',
    'CapEff 0000000000000000',
    'CapAmb 0000000000000000',
    'NoNewPrivs 1',
    'Seccomp 2',
    "['0', '1', '2']",
    '[]',
    '',
  ])
})

test('the end of a zygote is not the end of its sandboxes, and the next sandbox gets another one', async () => {
  await using own = await SpecHost.open()
  await using before = await Sandbox.create({ door: own.door })
  await before.runCode('kept = 1')
  process.kill(await zygotePid(own.home), 'SIGKILL')
  expect((await before.runCode('kept + 1')).text).toBe('2')
  await using after = await Sandbox.create({ door: own.door })
  expect((await after.runCode('import sys; "pandas" in sys.modules')).text).toBe('True')
})

test('one that has died is replaced, however long its keeper takes to clear away', async () => {
  await using own = await SpecHost.open()
  await using _first = await Sandbox.create({ door: own.door })
  const zygote = await zygotePid(own.home)
  const keeper = await parentOf(zygote)
  process.kill(keeper, 'SIGSTOP')
  process.kill(zygote, 'SIGKILL')
  const next = Sandbox.create({ door: own.door })
  await pause(1000)
  process.kill(keeper, 'SIGCONT')
  await using after = await next
  expect((await after.runCode('import sys; "pandas" in sys.modules')).text).toBe('True')
})

test('who comes when nobody else does is given the fork that was ready, as fresh and as walled in as any', async () => {
  await using own = await SpecHost.open()
  const zygote = await Sandbox.create({ door: own.door }).then(async (first) => {
    await first.kill()
    return zygotePid(own.home)
  })
  const said = []
  for (let round = 0; round < 3; round += 1) {
    const ready = await readyFork(zygote)
    await using sandbox = await Sandbox.create({ door: own.door })
    expect((await sandbox.runCode(WHO_IT_IS)).stdout).toBe('1 True 1000 2 True 1\nNone\n')
    // It was that one: its process is gone, and what it was goes on inside.
    expect(existsSync(`/proc/${ready}`)).toBe(false)
    const drawn = await Promise.all(RENEWED.map(({ code }) => sandbox.runCode(code)))
    said.push(drawn.map(({ stdout }) => stdout.trim()))
    // Processes that it starts in each way: the C library and the kernel must agree about which thread it is.
    expect((await sandbox.runCode(STARTS_OTHERS)).stdout).toBe('7\n8\n9\n10\n')
    // Its memory is charged to the sandbox from here on.
    const { limit } = await sandbox.runCode('b = bytearray(3 << 30)').catch((failure: unknown) => ({ limit: failure }))
    expect(limit).toBe('memory')
  }
  for (const [index, { what }] of RENEWED.entries()) {
    expect(new Set(said.map((one) => one[index])).size, what).toBe(said.length)
  }
})

test('the end of a zygote is the end of the fork that nobody asked for', async () => {
  await using own = await SpecHost.open()
  await using _first = await Sandbox.create({ door: own.door })
  const zygote = await zygotePid(own.home)
  const ready = await readyFork(zygote)
  process.kill(zygote, 'SIGKILL')
  await expect.poll(() => existsSync(`/proc/${ready}`), { timeout: 20_000 }).toBe(false)
})

const WHO_IT_IS = `import os, re, threading
status = open("/proc/self/status").read()
field = lambda name: re.search(rf"^{name}:\\s+(.*)$", status, re.M)[1].split()[0]
print(os.getppid(), os.getpid() == threading.get_native_id(), field("Uid"), field("Seccomp"), field("NSpid") == str(os.getpid()), field("Threads"))
print(globals().get("warm"))`

const STARTS_OTHERS = `import os, subprocess, sys, threading
from concurrent.futures import ThreadPoolExecutor
print(subprocess.run([sys.executable, "-c", "print(7)"], capture_output=True, text=True).stdout, end="")
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, b"8")
    os._exit(0)
os.wait()
print(os.read(read, 1).decode())
print(ThreadPoolExecutor(4).submit(lambda: 9).result())
import multiprocessing
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.map(abs, [-10])[0])`

/** A process that the zygote has forked and nobody has taken: it is below no PID 1, and waits. */
async function readyFork(zygote: number): Promise<number> {
  for (let left = 400; left > 0; left -= 1) {
    const children = await readFile(`/proc/${zygote}/task/${zygote}/children`, 'utf8')
    const [pid] = children
      .trim()
      .split(' ')
      .filter((one) => one !== '')
    const wait = pid === undefined ? '' : await readFile(`/proc/${pid}/wchan`, 'utf8').catch(() => '')
    // It waits for a message on its line to the zygote; before that it computes.
    if (/skb|recv/.test(wait)) return Number(pid)
    await pause(50)
  }
  throw new Error('no fork of the zygote became ready')
}

/** The forking process of this state folder's zygote: its standard output is the log in that folder. A fork of it has it for a parent. */
async function zygotePid(home: string): Promise<number> {
  const found: number[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    const log = await readlink(`/proc/${pid}/fd/1`).catch(() => '')
    if (command.includes('zygote.py') && log.startsWith(home)) found.push(Number(pid))
  }
  for (const pid of found) {
    const parent = await parentOf(pid).catch(() => undefined)
    if (parent !== undefined && !found.includes(parent)) return pid
  }
  throw new Error('no zygote found')
}

async function parentOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  return Number(stat.slice(stat.lastIndexOf(')')).split(' ')[2])
}
