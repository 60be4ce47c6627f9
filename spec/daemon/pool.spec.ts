import { readdir, readFile } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { SpecDaemon } from '../api/daemon.ts'
import { onWall } from '../walls/every-wall.ts'
import { Guest } from './guest.ts'

let daemon: SpecDaemon
beforeAll(async () => {
  daemon = await SpecDaemon.open({ env: { CAISSON_POOL: '3' } })
})
afterAll(async () => {
  await daemon[Symbol.asyncDispose]()
})

async function pool(): Promise<{ hits: number; misses: number; waiting: number; wanted: number }> {
  const page = await (await daemon.fetch('/metrics')).text()
  const of = (what: string) => Number(new RegExp(`caisson_pool\\{what="${what}"\\} (\\d+)`).exec(page)?.[1] ?? Number.NaN)
  return { hits: of('hits'), misses: of('misses'), waiting: of('waiting'), wanted: of('wanted') }
}

/** As many wait as are wanted, of each kind. */
async function filled(): Promise<void> {
  const isFilled = async () => {
    const { waiting, wanted } = await pool()
    expect(wanted).toBeGreaterThanOrEqual(3)
    expect(waiting).toBe(wanted)
  }
  await vi.waitFor(isFilled, { timeout: 100_000, interval: 50 })
}

test('one that waited is as if it had been made for whoever gets it', async () => {
  await filled()
  const { hits } = await pool()
  const made = await Promise.all(
    [1, 2].map((number) =>
      Guest.create(daemon, {
        templateID: 'code-interpreter-v1',
        envVars: { MARK: `${number}` },
        metadata: { number: `${number}` },
        timeout: 60,
      }),
    ),
  )
  expect((await pool()).hits - hits).toBe(2)
  const [one, two] = made as [Guest, Guest]
  expect(await Promise.all(made.map((guest) => guest.code('import os; os.environ["MARK"]')))).toEqual(['1', '2'])
  expect(await Promise.all(made.map((guest) => guest.run('echo $MARK')))).toEqual(['1\n', '2\n'])
  expect(await one.info()).toMatchObject({ metadata: { number: '1' }, state: 'running' })
  // Nothing of one is the other's: names, ids, chance.
  const identity =
    'import random, numpy, uuid, os, secrets; print(random.random(), numpy.random.rand(), uuid.uuid4(), secrets.token_hex(8), os.uname().nodename)'
  const said = await Promise.all(made.map((guest) => guest.code(identity)))
  const words = said.flatMap((text) => text.trim().split(' '))
  expect(words.length).toBe(10)
  expect([...words].sort()).toEqual([...new Set(words)].sort())
  expect(await one.run('cat /etc/machine-id')).not.toBe(await two.run('cat /etc/machine-id'))
  expect(await one.run('cat /etc/hostname')).toBe(`${one.id}\n`)
})

test('what ran in it while it waited has left no trace: it is as one that was made when it was asked for', async () => {
  await filled()
  const before = await pool()
  const made = await Promise.all(Array.from({ length: 5 }, () => Guest.create(daemon, { templateID: 'code-interpreter-v1', timeout: 60 })))
  const after = await pool()
  // Some of both.
  expect(after.hits - before.hits).toBeGreaterThan(0)
  expect(after.misses - before.misses).toBeGreaterThan(0)
  const state = [
    'import sys, os, threading, linecache, gc, signal',
    'shell = get_ipython()',
    'print(shell.execution_count, {name: shell.user_ns.get(name) for name in ("In", "Out", "_", "__", "___", "_i", "_ii", "_iii", "_dh")})',
    'print(sorted(shell.user_ns), sorted(shell.user_ns_hidden), sorted(sys.modules))',
    'print(sys.argv, sys.path, sorted(os.environ), sorted(os.listdir("/proc/self/fd")), os.listdir("."), threading.active_count())',
    'print(sorted(linecache.cache), gc.isenabled(), signal.getsignal(signal.SIGINT), sys.stdout, sys.stderr)',
  ].join('\n')
  const said = await Promise.all(made.map((guest) => guest.code(state)))
  const plain = said.map((text) => text.replace(/ at 0x[0-9a-f]+/g, ''))
  expect(plain[0]).toContain("'_i': '', '_ii': '', '_iii': ''")
  for (const text of plain) expect(text.split('\n')).toEqual(plain[0]?.split('\n'))
})

test('what it was told to expect gives way to what whoever gets it has asked for', async () => {
  await filled()
  const { hits } = await pool()
  const guest = await Guest.create(daemon, {
    templateID: 'code-interpreter-v1',
    envVars: { TZ: 'Asia/Tokyo', HOME: '/tmp', NEW: 'ä', PYTHONPATH: '/tmp/own' },
    timeout: 60,
  })
  expect((await pool()).hits - hits).toBe(1)
  const asked =
    'import time, os, subprocess; print(time.tzname[0], time.localtime(0).tm_hour, os.path.expanduser("~"), subprocess.getoutput("echo $TZ $HOME $NEW"))'
  expect(await guest.code(asked)).toBe('JST 9 /tmp Asia/Tokyo /tmp ä\n')
  expect(await guest.code('import sys; print(sys.path.count("/tmp/own"))')).toBe('1\n')
})

/** Kills the interpreters of all that waits, and of all that lives; how many. */
async function killInterpreters(): Promise<number> {
  const ids = await readdir(join(daemon.home, 'sandboxes'))
  let killed = 0
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const said = await Promise.all(['cgroup', 'comm'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8'))).catch(() => undefined)
    const [cgroup = '', comm = ''] = said ?? []
    if (!comm.startsWith('python') || !ids.some((id) => cgroup.includes(id))) continue
    process.kill(Number(pid), 'SIGKILL')
    killed += 1
  }
  return killed
}

test('one whose interpreter died while it waited has another for whoever gets it', async () => {
  await filled()
  const { hits } = await pool()
  expect(await killInterpreters()).toBeGreaterThanOrEqual(3)
  // Its daemon hears of it.
  await pause(500)
  const guest = await Guest.create(daemon, { templateID: 'code-interpreter-v1', envVars: { MARK: 'own' }, timeout: 60 })
  expect((await pool()).hits - hits).toBe(1)
  expect(await guest.code('import os; print(os.environ["MARK"], 1 + 1)')).toBe('own 2\n')
})

test('one whose keeper hangs while it waits is not waited for: who would have got it has another', async () => {
  await filled()
  const [keepers, before] = [await stopKeepers(), await pool()]
  expect(keepers.length).toBeGreaterThanOrEqual(3)
  try {
    const guest = await Guest.create(daemon, { templateID: 'code-interpreter-v1', timeout: 60 })
    expect((await pool()).hits).toBe(before.hits + 1)
    expect(await guest.run('echo alive')).toBe('alive\n')
  } finally {
    for (const pid of keepers) process.kill(pid, 'SIGCONT')
  }
})

/** Of all that waits, and of all that lives. */
async function stopKeepers(): Promise<number[]> {
  const ids = await readdir(join(daemon.home, 'sandboxes'))
  const stopped: number[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const said = await Promise.all(['cgroup', 'cmdline', 'status'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8'))).catch(
      () => undefined,
    )
    const [cgroup = '', command = '', status = ''] = said ?? []
    if (!command.startsWith('/caisson/agent') || !ids.some((id) => cgroup.includes(id))) continue
    // The keeper is the parent of the sandbox's first process.
    const keeper = Number(/PPid:\s+(\d+)/.exec(status)?.[1])
    process.kill(keeper, 'SIGSTOP')
    stopped.push(keeper)
  }
  return stopped
}

test('its time runs from when it was given, not from when it was made', async () => {
  await filled()
  // Longer than it will have to live.
  await pause(3100)
  const guest = await Guest.create(daemon, { templateID: 'code-interpreter-v1', timeout: 3 })
  expect(await guest.health()).toBe(204)
  await expect.poll(() => guest.health(), { timeout: 60_000 }).toBe(502)
})

onWall('gvisor', () => {
  test.each([
    ['the usual network', {}],
    ['none', { allow_internet_access: false }],
  ])('it serves this wall too, network: %s', async (_what, network) => {
    const wish = { templateID: 'code-interpreter-v1', metadata: { 'caisson.wall': 'gvisor' }, timeout: 300, ...network }
    await filled()
    const before = await pool()
    const first = await Guest.create(daemon, wish)
    expect((await pool()).misses).toBe(before.misses + 1)
    await filled()
    const second = await Guest.create(daemon, wish)
    expect((await pool()).hits).toBe(before.hits + 1)
    const identity =
      'import sys, ssl, uuid, random, os; n = sys.modules.get("numpy"); print(n is not None, uuid.uuid4(), random.random(), n.random.rand(), ssl.RAND_bytes(8).hex(), os.uname().nodename)'
    const [one, other] = [await first.code(identity), await second.code(identity)]
    expect(other).toMatch(new RegExp(`^True .* ${second.id}\\n$`))
    expect(
      one
        .split(' ')
        .slice(1)
        .filter((word) => other.includes(word)),
    ).toEqual([])
    expect(await second.run('dmesg')).toContain('gVisor')
    for (const { id } of [first, second]) await daemon.fetch(`/sandboxes/${id}`, { method: 'DELETE' })
  })
})

test('it fills again, and ends with its daemon', async () => {
  await filled()
  expect((await pool()).waiting).toBeGreaterThanOrEqual(3)
  const folder = `${daemon.home}/sandboxes`
  expect((await readdir(folder)).length).toBeGreaterThanOrEqual(3)
  await daemon.stop('SIGKILL')
  for (let look = 0; look < 200 && (await readdir(folder)).length > 2; look += 1) await pause(50)
  const second = await daemon.again()
  daemon = second
  const listed = (await (await daemon.fetch('/v2/sandboxes')).json()) as { sandboxID: string }[]
  for (let look = 0; look < 200 && (await readdir(folder)).length > listed.length; look += 1) await pause(50)
  expect((await readdir(folder)).sort()).toEqual(listed.map(({ sandboxID }) => sandboxID).sort())
})

test('without a word about it as many wait as a small part of the memory holds, and all of them end with their daemon', async () => {
  await using usual = await SpecDaemon.open({ env: { CAISSON_POOL: '' } })
  const least = Math.min(16, Math.floor(totalmem() / 2 ** 30))
  const waiting = async () => (await readdir(`${usual.home}/sandboxes`)).length
  await vi.waitFor(async () => expect(await waiting()).toBeGreaterThanOrEqual(least), { timeout: 100_000, interval: 50 })
  expect(await (await usual.fetch('/v2/sandboxes')).json()).toEqual([])
  await usual.stop()
  expect(await waiting()).toBe(0)
  expect(usual.log).not.toContain('could not be made')
})

test('a daemon that ends while it fills leaves nothing of what it was making', async () => {
  await using filling = await SpecDaemon.open({ hasPool: true })
  await filling.stop()
  expect(await readdir(`${filling.home}/sandboxes`)).toEqual([])
  expect(filling.log).not.toContain('could not be made')
})
