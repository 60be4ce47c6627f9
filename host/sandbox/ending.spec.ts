import { type Death, type EndReason, Fault, type KeeperEvent, type KeeperRequest, type Limits } from '@caisson/wire'
import { expect, test } from 'vitest'
import { Onlookers, settled, unending } from '../lifetimes.ts'
import type { Cell } from '../walls/wall.ts'
import { Ending } from './ending.ts'
import { OutputMeter } from './output-meter.ts'

const lost = new Fault('AGENT_LOST', 'the connection is gone')
const failed = { exitCode: 1, diskFull: false }

/** A keeper that ends the sandbox when told to, and otherwise says what the spec has it say. */
class Kept {
  readonly asked: string[] = []
  readonly ending: Ending
  readonly #death = settled<Death>()
  readonly listeners = new Onlookers(this.#death.promise)
  #tell: (hit: Extract<KeeperEvent, { event: 'limit' }>) => void = () => undefined
  /** What the keeper says before it answers a question. */
  before: () => void = () => undefined
  /** Why it does not keep a disk. */
  refuses: Fault | undefined
  /** It does nothing, and says nothing. */
  isHung = false

  constructor(onHit: Limits['onHit']) {
    const cell: Cell = {
      ready: { event: 'ready', agentPid: 1, uidBase: null, forked: [], steps: [] },
      agentSocket: '',
      death: this.#death.promise,
      onDeath: (listener) => this.listeners.add(listener),
      onFrozen: () => () => undefined,
      onLimit: (listener) => {
        this.#tell = listener
        return () => {
          this.#tell = () => undefined
        }
      },
      ask: async (request: Partial<KeeperRequest>) => {
        this.asked.push(request.op === 'kill' ? `kill ${request.reason}` : `${request.op}`)
        this.before()
        if (this.isHung) return this.#death.promise.then(() => Promise.reject(new Fault('SANDBOX_GONE', 'it has ended')))
        if (request.op === 'kill' && request.keepDisk !== undefined && this.refuses !== undefined) throw this.refuses
        if (request.op === 'kill' && request.reason !== undefined) this.die(request.reason)
        return {}
      },
      release: () => undefined,
      [Symbol.asyncDispose]: async () => this.die('crash'),
    }
    this.ending = new Ending(cell, { onHit } as Limits)
  }

  die(reason: EndReason) {
    this.#death.resolve({ id: 'i1', reason, detail: '', startedMs: 0, endedMs: 0, peakMemoryBytes: null, cpuUs: null })
  }

  hit(reason: EndReason) {
    this.#tell({ event: 'limit', reason, detail: '' })
  }
}

test('a success is believed without asking', async () => {
  const kept = new Kept('end')
  expect(await kept.ending.judge().exited({ exitCode: 0, diskFull: false })).toEqual({ exitCode: 0 })
  expect(kept.asked).toEqual([])
})

test('however many processes fail, nobody is left who listens for the end', async () => {
  const kept = new Kept('end')
  const before = kept.listeners.count
  for (let failures = 0; failures < 100; failures += 1) await kept.ending.judge().exited(failed)
  expect(kept.listeners.count).toBe(before)
})

test('a failure is its own when the keeper knows of no limit', async () => {
  const kept = new Kept('end')
  expect(await kept.ending.judge().exited({ ...failed, exitCode: 137, signal: 9 })).toEqual({ exitCode: 137, signal: 9 })
})

test('a failure whose limit is heard of only when the keeper is asked is that limit', async () => {
  const kept = new Kept('end')
  kept.before = () => kept.hit('memory')
  expect(await kept.ending.judge().exited(failed)).toEqual({ exitCode: 137, limit: 'memory' })
})

test('where a hit is only reported, the exit code stays what it was, and an earlier hit is not this process', async () => {
  const kept = new Kept('report')
  kept.hit('pids')
  const judge = kept.ending.judge()
  expect(await judge.exited(failed)).toEqual({ exitCode: 1 })
  kept.hit('memory')
  expect(await judge.exited(failed)).toEqual({ exitCode: 1, limit: 'memory' })
})

test('a full disk ends the sandbox, or is reported', async () => {
  const [ends, reports] = [new Kept('end'), new Kept('report')]
  expect(await ends.ending.judge().exited({ ...failed, diskFull: true })).toEqual({ exitCode: 137, limit: 'disk' })
  expect(ends.asked).toEqual(['kill disk'])
  expect(await reports.ending.judge().exited({ ...failed, diskFull: true })).toEqual({ exitCode: 1, limit: 'disk' })
  expect(reports.asked).toEqual([])
})

test.each([
  ['timeout', { exitCode: 124, signal: 9, limit: 'timeout' }],
  ['memory', { exitCode: 137, signal: 9, limit: 'memory' }],
  ['pids', { exitCode: 137, signal: 9, limit: 'pids' }],
  ['output', { exitCode: 137, signal: 9, limit: 'output' }],
] as const)('a process that was under way when the sandbox ended for %s has that as its outcome', async (reason, outcome) => {
  const kept = new Kept('end')
  kept.die(reason)
  expect(await kept.ending.judge().lost(lost)).toEqual(outcome)
})

test.each(['kill', 'crash', 'abandoned'] as const)('an end by %s is no outcome: the sandbox is gone', async (reason) => {
  const kept = new Kept('end')
  kept.die(reason)
  await expect(kept.ending.judge().lost(lost)).rejects.toMatchObject({
    code: 'SANDBOX_GONE',
    message: expect.stringContaining(reason),
    cause: lost,
  })
  expect(() => kept.ending.refuseDead()).toThrow(expect.objectContaining({ code: 'SANDBOX_GONE' }))
})

test('a connection that breaks while the sandbox lives is the end of the sandbox', async () => {
  const kept = new Kept('report')
  await expect(kept.ending.judge().lost(lost)).rejects.toMatchObject({ code: 'SANDBOX_GONE' })
  expect(kept.asked).toEqual(['kill crash'])
})

test('a sandbox whose keeper hangs ends by force: for a connection that breaks, and for a limit that is counted here, which is still told', async () => {
  const [breaks, fills] = [new Kept('end'), new Kept('end')]
  for (const kept of [breaks, fills]) kept.isHung = true
  await expect(breaks.ending.judge().lost(lost)).rejects.toMatchObject({ code: 'SANDBOX_GONE', message: expect.stringContaining('crash') })
  expect(await fills.ending.judge().exited({ ...failed, diskFull: true })).toEqual({ exitCode: 137, limit: 'disk' })
  expect([breaks.asked, fills.asked]).toEqual([['kill crash'], ['kill disk']])
})

test('nothing is forced while a disk is being kept; when that was given up, it is', async () => {
  const kept = new Kept('end')
  kept.isHung = true
  const patience = new AbortController()
  const keeping = kept.ending.keep('/kept/i1.img', patience.signal)
  const explained = kept.ending.explain(lost)
  await new Promise((resolve) => setImmediate(resolve))
  expect(kept.ending.death).toBeUndefined()
  patience.abort()
  await expect(keeping).rejects.toMatchObject({ code: 'CANCELLED' })
  expect(await explained).toMatchObject({ reason: 'crash' })
})

test('an end that is refused, since the disk cannot be kept, is not waited for', async () => {
  const kept = new Kept('end')
  kept.refuses = new Fault('LAUNCH_FAILED', 'a copy of the disk, or keeping it, needs root on the host')
  await expect(kept.ending.keep('/kept/i1.img', unending())).rejects.toBe(kept.refuses)
  expect(kept.ending.death).toBeUndefined()
})

test('output is counted to its limit and one byte more; then the sandbox ends, or what printed is stopped', async () => {
  for (const [onHit, asked, stops] of [
    ['end', ['kill output'], 0],
    ['report', [], 1],
  ] as const) {
    const kept = new Kept(onHit)
    let stopped = 0
    const meter = new OutputMeter(100, kept.ending, () => {
      stopped += 1
    })
    meter.count(60)
    meter.count(40)
    expect(meter.hit).toBe(false)
    meter.count(1)
    meter.count(1000)
    await new Promise((resolve) => setImmediate(resolve))
    expect([meter.hit, kept.asked, stopped]).toEqual([true, asked, stops])
    expect(await meter.judge({ exited: async () => ({ exitCode: 137 }), lost: () => Promise.reject(lost) }).exited(failed)).toEqual({
      exitCode: 137,
      limit: 'output',
    })
  }
})

test('output without a limit is not limited, and another run starts from nothing', () => {
  const kept = new Kept('end')
  const free = new OutputMeter(null, kept.ending, () => undefined)
  free.count(Number.MAX_SAFE_INTEGER)
  expect(free.hit).toBe(false)
  const limited = new OutputMeter(10, kept.ending, () => undefined)
  limited.count(10)
  limited.reset()
  limited.count(10)
  expect(limited.hit).toBe(false)
})
