import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { settled } from '../../host/lifetimes.ts'
import type { Cell } from '../../host/walls/wall.ts'
import type { Plan } from '../../wire/index.ts'
import { Cells, Inside, keeperOf, run } from './cells.ts'
import { Traces } from './traces.ts'

// Whoever launched a sandbox may be killed at any moment; another takes it over as if it had launched it itself.

const signal = new AbortController().signal
const isRoot = process.getuid?.() === 0

let cells: Cells
beforeAll(async () => {
  cells = await Cells.open()
})
afterAll(() => cells[Symbol.asyncDispose]())

/** A process that launches a sandbox and holds it. */
const FIRST_HOST = `
  const { spawn } = require('node:child_process')
  const [keeper, dir, plan] = process.argv.slice(1)
  require('node:fs').mkdirSync(dir, { mode: 0o700 })
  const child = spawn(keeper, ['run'], { cwd: '/', env: {}, detached: true, stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdout.pipe(process.stdout)
  child.stdin.write(plan + '\\n')
`

/** A sandbox with a process in it, whose host is killed without warning. */
async function orphan(change?: (plan: Plan) => Partial<Plan>): Promise<{ plan: Plan; pid: number }> {
  const plan = await cells.plan(change)
  const host = spawn(process.execPath, ['-e', FIRST_HOST, cells.settings.keeper, plan.dir, JSON.stringify(plan)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: host.stdout })[Symbol.asyncIterator]()
  for (const event of ['listening', 'ready']) expect(JSON.parse((await lines.next()).value)).toMatchObject({ event })
  using inside = new Inside({ agentSocket: join(plan.dir, 'agent.sock') })
  const { pid } = await inside.start('echo set by the first host > /tmp/mark; exec sleep 1000')
  host.kill('SIGKILL')
  await once(host, 'close')
  return { plan, pid }
}

const end = async (cell: Cell) => {
  await cell.ask({ op: 'kill', reason: 'kill', detail: 'enough' }, signal)
  return cell.death
}

/** A child that takes more memory than there is, as often as it is let. */
const GREEDY = `
import os
for _ in range(24):
    child = os.fork()
    if child == 0:
        held = bytearray(1 << 28)
        os._exit(0)
    os.waitpid(child, 0)
`

test.runIf(isRoot)('limits that are only reported are hit until that fills its part of the record, and then it ends', async () => {
  const plan = await cells.plan(({ limits, audit }) => ({
    limits: { ...limits, memoryBytes: 96 << 20, onHit: 'report' },
    audit: { ...audit, maxBytes: 2048 },
  }))
  const cell = await cells.launch(plan)
  using inside = new Inside(cell)
  const running = await inside.start(`exec python3 -I -c '${GREEDY}'`)
  await Promise.race([running.exit.catch(() => undefined), cell.death])
  // Its last word is behind it; a sandbox that could go on would be asked.
  await cell.ask({ op: 'kill', reason: 'kill', detail: 'it goes on' }, signal).catch(() => undefined)
  expect(await cell.death).toMatchObject({ reason: 'memory' })
  const records = (await readFile(plan.audit.log, 'utf8')).split('\n').filter((line) => line.includes(plan.id) && line.includes('"limit"'))
  expect(records.length).toBeGreaterThan(1)
  expect(records.length).toBeLessThan(24)
})

describe.runIf(isRoot)('a sandbox whose host was killed', () => {
  test('lives on, and is held by another as if it had launched it', async () => {
    const { plan, pid } = await orphan()
    const cell = await cells.wall.adopt(plan, signal)
    expect(cell.ready).toMatchObject({ event: 'ready', forked: [], uidBase: expect.any(Number) })
    expect(await run(cell, `kill -0 ${pid} && cat /tmp/mark`)).toEqual({ exitCode: 0, stdout: 'set by the first host\n' })
    expect(await end(cell)).toMatchObject({ id: plan.id, reason: 'kill', detail: 'enough' })
    expect([existsSync(plan.dir), existsSync(plan.deathRecord)]).toEqual([false, false])
    expect(cells.recorded).toEqual([])
  })

  test('is let go when its second host lets go, by itself or on purpose', async () => {
    const { plan } = await orphan()
    const released = await cells.wall.adopt(plan, signal)
    released.release()
    const again = await cells.wall.adopt(plan, signal)
    expect(await run(again, 'echo alive')).toMatchObject({ stdout: 'alive\n' })
    await again[Symbol.asyncDispose]()
    expect(existsSync(plan.dir)).toBe(false)
  })

  test('tells its second host of limits and of a freeze at its time', async () => {
    const { plan } = await orphan(({ limits }) => ({ limits: { ...limits, pids: 24, onHit: 'report', onWall: 'freeze' } }))
    const cell = await cells.wall.adopt(plan, signal)
    const [limit, frozen] = [settled<string>(), settled<void>()]
    cell.onLimit(({ reason }) => limit.resolve(reason))
    cell.onFrozen(frozen.resolve)
    await run(cell, 'i=0; while [ $i -lt 40 ]; do sleep 30 & i=$((i+1)); done')
    expect(await limit.promise).toBe('pids')
    await cell.ask({ op: 'deadline', wallMs: 50 }, signal)
    await frozen.promise
    expect(await end(cell)).toMatchObject({ reason: 'kill' })
  })

  test('and then its keeper is a crash, seen and swept', async () => {
    const { plan } = await orphan()
    const cell = await cells.wall.adopt(plan, signal)
    const traces = new Traces(cells.home, plan.id)
    await traces.find()
    process.kill(await keeperOf(cell), 'SIGKILL')
    await expect(cell.death).resolves.toMatchObject({ id: plan.id, reason: 'crash' })
    const left = await traces.find()
    left.delete('ids')
    expect(left).toEqual(new Map())
    expect(cells.recorded.pop()).toMatchObject({ id: plan.id, reason: 'crash' })
    await expect(cell.ask({ op: 'stats' }, signal)).rejects.toMatchObject({ code: 'SANDBOX_GONE' })
  })

  test('may end before another comes: its own record says why', async () => {
    const { plan } = await orphan(({ limits }) => ({ limits: { ...limits, wallMs: 1500 } }))
    const first = await cells.wall.adopt(plan, signal)
    first.release()
    while (!existsSync(plan.deathRecord)) await pause(20)
    await expect(cells.wall.adopt(plan, signal)).rejects.toMatchObject({ code: 'SANDBOX_GONE' })
    expect(await cells.wall.bury(plan, signal)).toMatchObject({ id: plan.id, reason: 'timeout' })
    expect(existsSync(plan.deathRecord)).toBe(false)
    expect(cells.recorded).toEqual([])
  })

  test('is not taken for alive by somebody else who listens there', async () => {
    const plan = await cells.plan()
    await mkdir(plan.dir)
    const server = createServer((socket) => socket.resume().end('{"event":"answer","seq":1,"ok":{"ready":1}}\n'))
    await new Promise<void>((resolve) => server.listen(join(plan.dir, 'keeper.sock'), resolve))
    await expect(cells.wall.adopt(plan, signal)).rejects.toMatchObject({ code: 'SANDBOX_GONE' })
    await new Promise((resolve) => server.close(resolve))
    expect(await cells.wall.bury(plan, signal)).toMatchObject({ reason: 'crash' })
    expect(existsSync(plan.dir)).toBe(false)
  })
})

describe.runIf(isRoot)('a sandbox that was made in advance', () => {
  test('is given its life later: a leash and a time', async () => {
    const plan = await cells.plan(({ limits }) => ({ leash: 'host', limits: { ...limits, wallMs: null } }))
    const cell = await cells.launch(plan)
    expect(await cell.ask({ op: 'hello' }, signal)).toMatchObject({ frozen: false, wallLeftMs: null })
    await cell.ask({ op: 'assign', leash: 'none', wallMs: 60_000, onWall: 'freeze' }, signal)
    const { wallLeftMs } = (await cell.ask({ op: 'hello' }, signal)) as { wallLeftMs: number }
    expect(wallLeftMs).toBeGreaterThan(50_000)
    cell.release()
    const adopted = await cells.wall.adopt(plan, signal)
    using inside = new Inside(adopted)
    expect(await inside.run('echo alive')).toMatchObject({ stdout: 'alive\n' })
    const back = adopted.ask({ op: 'assign', leash: 'host', wallMs: null, onWall: 'end' }, signal)
    await expect(back).rejects.toMatchObject({ message: expect.stringContaining('leash') })
    await adopted.ask({ op: 'assign', leash: 'none', wallMs: 100, onWall: 'end' }, signal)
    await expect(adopted.death).resolves.toMatchObject({ reason: 'timeout' })
  })

  test('ends with its host if nobody came for it', async () => {
    const { plan } = await orphan(({ limits }) => ({ leash: 'host', limits: { ...limits, wallMs: null } }))
    while (!existsSync(plan.deathRecord)) await pause(20)
    expect(JSON.parse(await readFile(plan.deathRecord, 'utf8'))).toMatchObject({ reason: 'abandoned' })
  })
})
