import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { RemoteDoor, Sandbox, type SandboxOptions } from '../../client/index.ts'
import { SpecDaemon } from '../api/daemon.ts'
import { onWall } from './every-wall.ts'
import { CARD, inTurn, PROGRAMS, parts, RENEWED } from './renewed.ts'
import { Traces } from './traces.ts'

const ROWS = [...RENEWED, ...PROGRAMS, CARD]
/** What a process is held by, as the kernel tells it. */
const HELD = ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp', 'Groups', 'Umask'] as const
const NAMESPACES = ['pid', 'user', 'cgroup', 'ipc', 'uts', 'net', 'mnt']
/** Numbers of the kernel's for what is open and has no name. */
const OPEN = /^(socket:\[\d+\]|pipe:\[\d+\])$/
/** As many as it takes to find a piece of the same row in another that was asked a different number of times before. */
const RDRAND = `
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes.fromhex("480fc7f0c3"))
draw = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
print(*(draw() for _ in range(3000)))`
/** What a mother has open beside, before a twin is made: whoever asks, and six namespaces, a gate and three ends of its own, beside its groups. */
const [CONNECTION, REQUEST] = [1, 10]
const KNOWN = 'print(known, set(held))'

onWall('microvm', () => {
  let daemon: SpecDaemon
  let twins: [Sandbox, Sandbox]
  let mother: string
  const said = new Map<string, string[]>()
  const all: Sandbox[] = []
  const door = () => new RemoteDoor({ url: daemon.url, key: daemon.key })
  const make = async (more: SandboxOptions = {}) => {
    const sandbox = await Sandbox.create({ wall: 'microvm', network: 'open', cpus: 2, timeoutMs: 1_800_000, ...more, door: door() })
    all.push(sandbox)
    return sandbox
  }
  const records = (kind: string) =>
    readFileSync(join(daemon.home, 'audit', 'audit.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .filter((record) => record.kind === kind)
  const untilThere = (kind: string, outcome: string, count: number) =>
    vi.waitFor(() => expect(records(kind).filter((record) => record.outcome === outcome)).toHaveLength(count), {
      timeout: 600_000,
      interval: 200,
    })
  const warmthOf = ({ id }: Sandbox) => records('create').find(({ sandbox }) => sandbox === id)?.plan.engine.warm

  beforeAll(async () => {
    daemon = await SpecDaemon.open({ env: { CAISSON_SAVED_STATES: '1' } })
    await make()
    await untilThere('mother', 'started', 1)
    mother = records('mother')[0].sandbox
    twins = [await make(), await make()]
    for (const sandbox of twins) {
      const { stdout } = await sandbox.runCode(inTurn(RENEWED, 'print("---")'))
      const told = await sandbox.commands.run(inTurn([...PROGRAMS, CARD], 'echo ---'))
      const texts = [...parts(stdout), ...parts(told.stdout)]
      for (const [at, { what }] of ROWS.entries()) said.set(what, [...(said.get(what) ?? []), texts[at] ?? ''])
    }
  }, 900_000)
  afterAll(async () => {
    await Promise.all(all.map((sandbox) => sandbox.kill().catch(() => undefined)))
    await daemon?.[Symbol.asyncDispose]()
  })

  test('when a state has been saved, a machine of it stands still for those after it, which are forked from it', () => {
    const folder = join(daemon.home, 'sandboxes', mother)
    expect(twins.map(warmthOf)).toMatchObject([
      { op: 'restore', mother: folder },
      { op: 'restore', mother: folder },
    ])
    for (const { id } of twins) expect(parentOf(processOf(id))).toBe(firstOf(id))
    expect(readlinkSync(`/proc/${processOf(mother)}/exe`)).toBe(readlinkSync(`/proc/${processOf(twins[0].id)}/exe`))
  })

  test.each(ROWS.map(({ what }) => what))('%s differs in every twin', (what) => {
    const [one = '', other = ''] = said.get(what) ?? []
    expect(one.trim()).not.toBe('')
    expect(other.trim()).not.toBe('')
    expect(one).not.toBe(other)
  })

  test('numbers that the processor draws are none that another has drawn', async () => {
    const drawn = await Promise.all(twins.map(async (sandbox) => new Set((await sandbox.runCode(RDRAND)).stdout.trim().split(' '))))
    expect(drawn.map(({ size }) => size)).toEqual([3000, 3000])
    expect([...(drawn[0] ?? [])].filter((number) => drawn[1]?.has(number))).toEqual([])
  })

  test('its clock is right, and its disk and its memory are its own', async () => {
    const [one, other] = twins
    const before = Date.now()
    const told = await one.commands.run('date +%s%3N; echo x > mine; ls')
    const [now, ...names] = told.stdout.trim().split('\n')
    expect(Number(now)).toBeGreaterThan(before - 1000)
    expect(Number(now)).toBeLessThan(Date.now() + 1000)
    expect(names).toEqual(['mine'])
    expect((await other.commands.run('ls')).stdout).toBe('')
    await one.runCode('import numpy; numpy.mine = 1')
    expect((await other.runCode('import numpy; print(hasattr(numpy, "mine"))')).stdout).toBe('False\n')
  })

  test('its interpreter may use every processor, and its kernel makes no large pages behind its back', async () => {
    const [one] = twins
    const code = 'import os; print(sorted(os.sched_getaffinity(0)) == list(range(os.cpu_count())), os.cpu_count() > 1)'
    expect((await one.runCode(code)).stdout).toBe('True True\n')
    expect((await one.commands.run('cat /sys/kernel/mm/transparent_hugepage/enabled')).stdout).toContain('[never]')
  })

  test('its real-time clock is right too, and its kernel’s debug files are not mounted', async () => {
    const [one] = twins
    const told = await one.commands.run('cat /sys/class/rtc/rtc0/since_epoch; grep -c debugfs /proc/mounts; ls /sys/kernel/debug')
    const [seconds, ...rest] = told.stdout.trim().split('\n')
    expect(Math.abs(Number(seconds) - Date.now() / 1000)).toBeLessThan(3)
    expect(rest).toEqual(['0'])
  })

  test('what leaves it is judged by its own gate', async () => {
    for (const sandbox of twins) expect((await sandbox.commands.run('curl -sS http://10.1.2.3/')).stdout).toContain('NETWORK_DENIED')
  })

  test('it is behind the walls of one that was started: its own namespaces, ids and control groups, no right, and both filters', async () => {
    // Of another size there is no state, and nobody to be forked from.
    const cold = await make({ template: 'base', memoryMiB: 64, diskMiB: 16, network: 'none' })
    const [model, one, other] = [cold, ...twins].map(({ id }) => processOf(id)) as [string, string, string]
    for (const [at, { id }] of twins.entries()) {
      const pid = [one, other][at] ?? ''
      expect(HELD.map((field) => [field, status(pid, field)])).toEqual(HELD.map((field) => [field, status(model, field)]))
      expect(Number(status(pid, 'Seccomp_filters'))).toBeGreaterThanOrEqual(Number(status(model, 'Seccomp_filters')))
      for (const thread of readdirSync(`/proc/${pid}/task`))
        expect(status(`${pid}/task/${thread}`, 'Seccomp_filters')).toBe(status(pid, 'Seccomp_filters'))
      expect(NAMESPACES.map((name) => namespace(pid, name))).toEqual(NAMESPACES.map((name) => namespace(firstOf(id), name)))
      expect(readFileSync(`/proc/${pid}/cgroup`, 'utf8')).toBe(readFileSync(`/proc/${firstOf(id)}/cgroup`, 'utf8'))
      expect(readFileSync(`/proc/${pid}/cgroup`, 'utf8')).toContain(id)
      expect(status(pid, 'Uid')).toBe(status(firstOf(id), 'Uid'))
      expect(limit(pid, 'Max core file size')).toBe(limit(model, 'Max core file size'))
      expect(limit(pid, 'Max file size')).toBe(`${1024 << 20}`)
      expect(readdirSync(`/proc/${pid}/root`)).not.toContain('twins.so')
    }
    for (const name of NAMESPACES) expect(new Set([one, other, processOf(mother)].map((pid) => namespace(pid, name))).size).toBe(3)
    expect(new Set([one, other, processOf(mother)].map((pid) => status(pid, 'Uid'))).size).toBe(3)
  })

  test('nothing that is open is shared with its mother, nor with another twin', () => {
    const of = (id: string) => {
      const folder = `/proc/${processOf(id)}`
      return readdirSync(`${folder}/fd`).flatMap((fd) => {
        const event = /^eventfd-id:\s+(\d+)/m.exec(readFileSync(`${folder}/fdinfo/${fd}`, 'utf8'))?.[1]
        const to = readlinkSync(`${folder}/fd/${fd}`)
        if (event !== undefined) return [`event ${event}`]
        return OPEN.test(to) || to.endsWith('/disk.img') ? [to] : []
      })
    }
    const [hers, one, other] = [of(mother), of(twins[0].id), of(twins[1].id)]
    expect(one.filter((open) => open.startsWith('event')).length).toBeGreaterThan(2)
    expect(one.filter((open) => hers.includes(open) || other.includes(open))).toEqual([])
    expect(other.filter((open) => hers.includes(open))).toEqual([])
    // Files that are the same were opened anew: where one reads is nobody else's business, and by which flags.
    expect(one.some((open) => open.endsWith('/disk.img') && open.includes(twins[0].id))).toBe(true)
  })

  test('it can be paused, and forked as it runs, with what it has changed and with what it has from its mother', async () => {
    const [one] = twins
    await one.runCode('known, held = 41, bytearray(b"x" * (4 << 20))')
    const [fork] = await one.fork({ timeoutMs: 1_800_000 })
    if (fork === undefined) throw new Error('no fork')
    all.push(fork)
    expect((await fork.runCode(KNOWN)).stdout).toBe('41 {120}\n')
    await one.runCode('known = 42')
    await one.pause()
    const woken = await Sandbox.connect(one.id, { door: door() })
    expect((await woken.runCode(KNOWN)).stdout).toBe('42 {120}\n')
    expect((await woken.runCode('import pandas; print(int(pandas.DataFrame({"a": [1, 2]}).a.sum()))')).stdout).toBe('3\n')
    expect((await fork.runCode(KNOWN)).stdout).toBe('41 {120}\n')
  }, 300_000)

  test('where she stands still, the next one is restored after a while, and her twins live on', async () => {
    process.kill(Number(processOf(mother)), 'SIGSTOP')
    const next = await make()
    expect((await next.runCode('6 * 7')).text).toBe('42')
    const detail = expect.stringMatching(/nobody answered at .*twins.sock within 10s/)
    expect(records('mother').filter(({ outcome }) => outcome === 'failed')).toMatchObject([{ sandbox: next.id, detail }])
    await vi.waitFor(() => expect(records('death').filter(({ sandbox }) => sandbox === mother)).toHaveLength(1), { timeout: 30_000 })
    expect((await twins[1].runCode('6 * 7')).text).toBe('42')
  }, 300_000)

  const startedFrom = (template: string) =>
    records('mother').filter((record) => record.template === template && record.outcome === 'started')
  const isOver = (id: string) => vi.waitFor(() => expect(processesOf(id)).toEqual([]), { timeout: 30_000, interval: 100 })

  /** The mother of another daemon. */
  const start = async (idleMs: string) => {
    const before = startedFrom('code-interpreter').length
    daemon = await daemon.again({ env: { CAISSON_SAVED_STATES: '1', CAISSON_ZYGOTE_IDLE_MS: idleMs } })
    const sandbox = await make()
    expect(warmthOf(sandbox)).toEqual({ op: 'restore', folder: expect.any(String), pid: expect.any(Number) })
    await vi.waitFor(() => expect(startedFrom('code-interpreter')).toHaveLength(before + 1), { timeout: 120_000, interval: 200 })
    return startedFrom('code-interpreter').at(-1).sandbox as string
  }

  test('she ends with her keeper, with her daemon, and when nobody asks for twins any more', async () => {
    await vi.waitFor(() => expect(startedFrom('base')).toHaveLength(1), { timeout: 120_000, interval: 200 })
    const [{ sandbox: ofBase }] = startedFrom('base') as [{ sandbox: string }]
    const traces = new Traces(daemon.home, ofBase)
    expect([...(await traces.find()).keys()]).toContain('cgroup')
    process.kill(Number(parentOf(firstOf(ofBase))), 'SIGKILL')
    await isOver(ofBase)
    await vi.waitFor(async () => expect(await traces.find()).toEqual(new Map()), { timeout: 30_000, interval: 200 })
    await daemon.stop()
    const withDaemon = await start('0')
    expect(processesOf(withDaemon)).toHaveLength(1)
    await daemon.stop()
    await isOver(withDaemon)
    // Killed this moment: whoever asks now has been told of her, or has not.
    process.kill(Number(processOf(await start('0'))), 'SIGKILL')
    expect((await (await make()).runCode('6 * 7')).text).toBe('42')
    await daemon.stop()
    const idle = await start('1000')
    await isOver(idle)
    await vi.waitFor(() =>
      expect(records('death').filter(({ sandbox }) => sandbox === idle)).toMatchObject([{ reason: 'exit', detail: 'no longer asked for' }]),
    )
    // Who was forked from one that has ended lives on.
    expect((await (await Sandbox.connect(twins[1].id, { door: door() })).runCode('6 * 7')).text).toBe('42')
  }, 600_000)

  test('why a twin did not come to enter its sandbox is in the record', async () => {
    await daemon.stop()
    const [model] = twins
    const strict = Number(processOf(await start('0')))
    // What is handed to it at the last gate has no number left.
    const open = new Set(readdirSync(`/proc/${strict}/fd`).map(Number))
    const free = Array.from({ length: 100 }, (_, number) => number).filter((number) => !open.has(number))
    const groups = readFileSync(`/proc/${processOf(model.id)}/cgroup`, 'utf8').split('\n')
    const taken = CONNECTION + REQUEST + groups.filter((line) => line.includes(model.id)).length
    // Its limits are root's to set, but for where that is not root of the whole machine.
    const there = [`--user=/proc/${strict}/ns/user`, '--setuid=0', '--setgid=0']
    execFileSync('/usr/bin/nsenter', [...there, 'prlimit', '--pid', String(strict), `--nofile=${free[taken]}:`])
    const next = await make()
    expect((await next.runCode('6 * 7')).text).toBe('42')
    expect(records('mother').filter(({ sandbox }) => sandbox === next.id)).toMatchObject([
      { outcome: 'failed', detail: expect.stringContaining('the wall did not come to stand') },
    ])
  }, 300_000)
})

/** Of the sandbox's QEMU, which says its name. */
function processOf(id: string): string {
  const found = processesOf(id)
  expect(found, id).toHaveLength(1)
  return found[0] ?? ''
}

function processesOf(id: string): string[] {
  const says = (pid: string) => words(pid).some((word, at, every) => every[at - 1] === '-name' && word === id)
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && says(pid))
}

function words(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return []
  }
}

/** The first process of the sandbox, by QEMU, whose parent it is. */
function firstOf(id: string): string {
  return parentOf(processOf(id))
}

function parentOf(pid: string): string {
  return status(pid, 'PPid')
}

function status(pid: string, field: string): string {
  return new RegExp(`^${field}:[ \\t]*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]?.trim() ?? 'nothing'
}

function namespace(pid: string, name: string): string {
  return readlinkSync(`/proc/${pid}/ns/${name}`)
}

function limit(pid: string, name: string): string {
  const line =
    readFileSync(`/proc/${pid}/limits`, 'utf8')
      .split('\n')
      .find((line) => line.startsWith(name)) ?? ''
  return line.slice(name.length).trim().split(/\s+/)[0] ?? ''
}
