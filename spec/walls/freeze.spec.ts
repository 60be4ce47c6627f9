import { existsSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { settled } from '../../host/lifetimes.ts'
import type { Cell } from '../../host/walls/wall.ts'
import { Cells, Inside, keeperOf, run } from './cells.ts'
import { readImage } from './images.ts'
import { Traces } from './traces.ts'

// No process runs, no time passes, nothing is lost, and it can end all the same.

const signal = new AbortController().signal
const isRoot = process.getuid?.() === 0
const SPIN = 'while :; do :; done'

/** Where both are to be had, version 1 is taken: out of sight, version 2 is. */
const WITHOUT_VERSION_1 = `exec unshare --mount sh -c 'umount /sys/fs/cgroup/freezer; exec "$@"' sh`
const versions: [string, string | undefined][] = [['the freezer that a keeper prefers', undefined]]
if (existsSync('/sys/fs/cgroup/freezer') && existsSync('/sys/fs/cgroup/unified')) versions.push(['version 2', WITHOUT_VERSION_1])

let cells: Cells

const end = async (cell: Cell) => {
  await cell.ask({ op: 'kill', reason: 'kill', detail: '' }, signal)
  return cell.death
}
const hello = (cell: Cell) => cell.ask({ op: 'hello' }, signal)

/** Nanoseconds that a process inside has run while this one slept: long enough for it to have had its turn. */
async function ran(id: string, pid: number): Promise<number> {
  const file = `/proc/${await hostPid(id, pid)}/schedstat`
  const read = async () => Number((await readFile(file, 'utf8')).split(' ')[0])
  const before = await read()
  await pause(300)
  return (await read()) - before
}

describe.runIf(isRoot).each(versions)('a frozen sandbox, by %s', (_name, under) => {
  beforeAll(async () => {
    cells = await Cells.open(under)
  })
  afterAll(() => cells[Symbol.asyncDispose]())

  test('uses no processor, and goes on with the same processes where it was', async () => {
    const plan = await cells.plan()
    const cell = await cells.launch(plan)
    using inside = new Inside(cell)
    const spinning = await inside.start('i=0; while :; do i=$((i+1)); echo $i > /tmp/n; mv /tmp/n /tmp/i; done')
    const count = async () => Number((await inside.run('cat /tmp/i')).stdout)
    while ((await count()) === 0) await pause(10)
    const asleep = await inside.start('sleep 1; echo woke')
    await cell.ask({ op: 'freeze' }, signal)
    expect(await hello(cell)).toMatchObject({ frozen: true, ready: cell.ready })
    expect(await ran(plan.id, spinning.pid)).toBe(0)
    await cell.ask({ op: 'thaw', wallMs: null }, signal)
    expect(await hello(cell)).toMatchObject({ frozen: false, wallLeftMs: null })
    const before = await count()
    while ((await count()) <= before) await pause(10)
    expect((await inside.run(`kill ${spinning.pid}`)).exitCode).toBe(0)
    expect((await spinning.exit).signal).toBe(15)
    expect((await asleep.exit).exitCode).toBe(0)
    await end(cell)
  })

  test('is frozen twice and thawed twice without harm, also at once', async () => {
    const cell = await cells.launch(await cells.plan())
    const ask = (op: 'freeze' | 'thaw') => cell.ask(op === 'freeze' ? { op } : { op, wallMs: null }, signal)
    await ask('freeze')
    await ask('freeze')
    expect(await hello(cell)).toMatchObject({ frozen: true })
    await ask('thaw')
    await ask('thaw')
    await Promise.all([ask('freeze'), ask('freeze'), ask('thaw'), ask('freeze'), ask('thaw')])
    expect(await hello(cell)).toMatchObject({ frozen: false })
    expect(await run(cell, 'echo alive')).toEqual({ exitCode: 0, stdout: 'alive\n' })
    await end(cell)
  })

  test('stands still however busily its processes start others', async () => {
    const cell = await cells.launch(await cells.plan())
    using inside = new Inside(cell)
    for (const command of ['/bin/true', '/bin/true | cat', '/bin/true & wait']) await inside.start(`while :; do ${command}; done`)
    for (let round = 0; round < 25; round += 1) {
      await cell.ask({ op: 'freeze' }, signal)
      expect(await hello(cell)).toMatchObject({ frozen: true })
      await cell.ask({ op: 'thaw', wallMs: null }, signal)
      await pause(round)
    }
    await end(cell)
  })

  test('does not grow older: what was left of its time is left, and a thaw gives it new', async () => {
    const cell = await cells.launch(await cells.plan(({ limits }) => ({ limits: { ...limits, wallMs: 2500 } })))
    await cell.ask({ op: 'freeze' }, signal)
    const left = (await hello(cell))['wallLeftMs']
    await pause(3000)
    expect(await hello(cell)).toMatchObject({ frozen: true, wallLeftMs: left })
    await cell.ask({ op: 'thaw', wallMs: 300 }, signal)
    await expect(cell.death).resolves.toMatchObject({ reason: 'timeout', detail: expect.stringContaining('300 ms') })
  })

  test('is what is left of one whose time is over, if its plan says so; every connection hears of it', async () => {
    const plan = await cells.plan(({ limits }) => ({ limits: { ...limits, wallMs: 300, onWall: 'freeze' } }))
    const cell = await cells.launch(plan)
    using inside = new Inside(cell)
    const spinning = await inside.start(SPIN)
    const frozen = settled<void>()
    cell.onFrozen(frozen.resolve)
    await frozen.promise
    expect(await hello(cell)).toMatchObject({ frozen: true, wallLeftMs: 0 })
    expect(await ran(plan.id, spinning.pid)).toBe(0)
    await cell.ask({ op: 'thaw', wallMs: null }, signal)
    expect(await ran(plan.id, spinning.pid)).toBeGreaterThan(0)
    await end(cell)
  })

  test('can be killed; no process runs for a moment before it dies, and nothing is left', async () => {
    const plan = await cells.plan()
    const cell = await cells.launch(plan)
    const traces = new Traces(cells.home, plan.id)
    using inside = new Inside(cell)
    // Whoever runs after the thaw leaves a mark in the audit log.
    const started = await inside.start('trap "" TERM HUP; while :; do kill -STOP $$; /usr/bin/id; done')
    await inside.start(SPIN)
    await traces.find()
    await cell.ask({ op: 'freeze' }, signal)
    process.kill(await hostPid(plan.id, started.pid), 'SIGCONT')
    const before = (await readFile(plan.audit.log, 'utf8')).split('\n').length
    expect(await end(cell)).toMatchObject({ reason: 'kill' })
    expect(await traces.find()).toEqual(new Map())
    const records = (await readFile(plan.audit.log, 'utf8'))
      .trim()
      .split('\n')
      .slice(before - 1)
    expect(records.map((line) => JSON.parse(line).kind)).toEqual(['death'])
  })

  test('whose keeper is killed is cleared away by its host', async () => {
    const plan = await cells.plan()
    const cell = await cells.launch(plan)
    const traces = new Traces(cells.home, plan.id)
    using inside = new Inside(cell)
    await inside.start(SPIN)
    await traces.find()
    await cell.ask({ op: 'freeze' }, signal)
    process.kill(await keeperOf(cell), 'SIGKILL')
    await expect(cell.death).resolves.toMatchObject({ reason: 'crash' })
    // Dead ones are the machine's first process's to bury, in its own time.
    const isDying = (found: ReadonlyMap<string, unknown>) => found.has('process') || found.has('network namespace')
    while (isDying(await traces.find())) await pause(10)
    const left = await traces.find()
    left.delete('ids')
    expect(left).toEqual(new Map())
  })

  test('takes no forks, and answers whatever needs no process', async () => {
    const cell = await cells.launch(await cells.plan())
    await cell.ask({ op: 'freeze' }, signal)
    await expect(cell.ask({ op: 'fork', socket: '/nowhere', count: 1 }, signal)).rejects.toMatchObject({
      message: expect.stringContaining('frozen'),
    })
    await cell.ask({ op: 'deadline', wallMs: 60_000 }, signal)
    expect(await hello(cell)).toMatchObject({ frozen: true, wallLeftMs: 60_000 })
    await end(cell)
  })

  test('has its files whole on the disk of the host', async () => {
    const plan = await cells.plan()
    const cell = await cells.launch(plan)
    const { stdout } = await run(cell, 'head -c 3000000 /dev/urandom > ~/random; sha256sum < ~/random; ln -s random ~/link')
    await cell.ask({ op: 'freeze' }, signal)
    const image = join(plan.dir, 'disk.img')
    expect((await stat(image)).uid).toBe(0)
    expect(await readImage(image, 'sha256sum < w0/random; readlink w0/link; stat -c "%u %g" w0/random')).toBe(
      `${stdout}random\n1000 1000\n`,
    )
    await end(cell)
  })
})

describe.runIf(isRoot)('where the machine has no freezer', () => {
  beforeAll(async () => {
    cells = await Cells.open(`exec unshare --mount sh -c 'umount -q /sys/fs/cgroup/freezer /sys/fs/cgroup/unified; exec "$@"' sh`)
  })
  afterAll(() => cells[Symbol.asyncDispose]())

  test.skipIf(!existsSync('/sys/fs/cgroup/memory'))(
    'nothing is frozen by half: it is said, and what counts on it does not start',
    async () => {
      const cell = await cells.launch(await cells.plan())
      const named = { message: expect.stringContaining('freezer') }
      await expect(cell.ask({ op: 'freeze' }, signal)).rejects.toMatchObject(named)
      await expect(cell.ask({ op: 'copyDisk', to: join(cells.home, 'copy.img') }, signal)).rejects.toMatchObject(named)
      const assigned = cell.ask({ op: 'assign', leash: 'none', wallMs: 60_000, onWall: 'freeze' }, signal)
      await expect(assigned).rejects.toMatchObject(named)
      expect(await run(cell, 'echo alive')).toMatchObject({ stdout: 'alive\n' })
      expect(await hello(cell)).toMatchObject({ frozen: false })
      await end(cell)
      const freezes = await cells.plan(({ limits }) => ({ limits: { ...limits, onWall: 'freeze' } }))
      await expect(cells.launch(freezes)).rejects.toMatchObject({ code: 'LIMIT_UNAVAILABLE', ...named })
    },
  )
})

/** As the host numbers a process of a sandbox. */
async function hostPid(id: string, inside: number): Promise<number> {
  const processes = (await new Traces(cells.home, id).find()).get('process') ?? []
  for (const line of processes) {
    const pid = line.split(' ')[0]
    const numbers = /NSpid:(.*)/
      .exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]
      ?.trim()
      .split(/\s+/)
    if (numbers?.at(-1) === String(inside)) return Number(pid)
  }
  throw new Error(`no process ${inside} in ${id}`)
}
