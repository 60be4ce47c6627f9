import { type Death, type EndReason, Fault, type Limits, type ProcessExit } from '@caisson/wire'
import type { Judge } from '../agent/process.ts'
import { freshDeadline, orAborted, settled } from '../lifetimes.ts'
import type { Cell } from '../walls/wall.ts'

/** The reasons that are limits: a call that was under way has an outcome to report. The others only say that the sandbox is gone. */
const LIMIT_REASONS: ReadonlySet<EndReason> = new Set(['timeout', 'memory', 'pids', 'disk', 'output'])
const TIMEOUT_EXIT_CODE = 124
const KILLED_EXIT_CODE = 137
const SIGKILL = 9
/** The keeper answers in microseconds, or is dead. */
const KEEPER_MS = 10_000

/** What limits and deaths mean for the calls under way. The keeper and the agent see the same events, each in its own order: asked here. */
export class Ending implements Judge {
  readonly #cell: Cell
  readonly #limits: Limits
  readonly #hits: EndReason[] = []
  readonly #deaf: (() => void)[]
  #death: Death | undefined
  /** It goes on, or sleeps, without whoever calls here. */
  #isLetGo = false
  /** Until an end that is to leave its disk behind has come, or was given up. */
  #keeping: Promise<unknown> = Promise.resolve()

  constructor(cell: Cell, limits: Limits) {
    this.#cell = cell
    this.#limits = limits
    const dies = (death: Death) => {
      this.#death = death
    }
    this.#deaf = [cell.onLimit((hit) => this.#hits.push(hit.reason)), cell.onDeath(dies)]
  }

  get death(): Death | undefined {
    return this.#death
  }

  /** From now on a connection that is lost is no reason to end it, and nothing of it is heard here. */
  letGo(): void {
    this.#isLetGo = true
    for (const stop of this.#deaf.splice(0)) stop()
  }

  /** Throws SANDBOX_GONE once it has ended. */
  refuseDead(): void {
    if (this.#death !== undefined) throw gone(this.#death)
    if (this.#isLetGo) throw paused()
  }

  /** How many limits have been reported so far; a later call of `hitSince` tells what came after. */
  get mark(): number {
    return this.#hits.length
  }

  /**
   * Whether a limit was hit since `mark`. An answer of the keeper comes after the news of every limit that was hit before the question, so that a
   * process which the kernel killed for memory is never taken for one that failed by itself.
   */
  async hitSince(mark: number): Promise<EndReason | undefined> {
    const answered = this.#cell.ask({ op: 'stats' }, freshDeadline(KEEPER_MS)).then(
      () => undefined,
      () => undefined,
    )
    const dead = settled<void>()
    const stop = this.#cell.onDeath(() => dead.resolve())
    await Promise.race([answered, dead.promise]).finally(stop)
    // With onHit `end` the keeper takes everything apart before it says so, and answers nobody meanwhile.
    if (this.#death !== undefined && LIMIT_REASONS.has(this.#death.reason)) return this.#death.reason
    return this.#hits.at(mark)
  }

  /** A limit that the host counts: ends the sandbox, or tells the caller to end only what hit it. */
  async hit(reason: 'output' | 'disk', detail: string): Promise<'ended' | 'report'> {
    if (this.#limits.onHit === 'report') return 'report'
    await this.force(reason, detail)
    return 'ended'
  }

  /** Its disk is kept at that path of the host. Rejects when the signal aborts, and with LAUNCH_FAILED, as a keeper refuses, when it cannot be kept there. */
  keep(disk: string, signal: AbortSignal): Promise<Death> {
    const kept = orAborted(this.#end({ reason: 'pause', detail: 'paused', keepDisk: disk }), signal)
    this.#keeping = kept.catch(() => undefined)
    return kept
  }

  /** By force where the keeper does not do it; one that writes a disk back is given the time for that. Resolves when nothing of the sandbox is left. */
  async force(reason: EndReason, detail: string): Promise<Death> {
    const dies = this.#end({ reason, detail })
    await this.#keeping
    await this.#cell[Symbol.asyncDispose]()
    return dies
  }

  async #end(how: { reason: EndReason; detail: string; keepDisk?: string }): Promise<Death> {
    await this.#cell.ask({ op: 'kill', ...how }, freshDeadline(KEEPER_MS)).catch((failure: unknown) => {
      if (failure instanceof Fault && failure.code === 'LAUNCH_FAILED') throw failure
      // A keeper that is ending already does not answer; its death record does.
    })
    return this.#cell.death
  }

  /** A judge for one process, that remembers which limits had been hit before it. */
  judge(): Judge {
    const mark = this.mark
    return { exited: (exit) => this.exited(exit, mark), lost: (failure) => this.lost(failure) }
  }

  async exited(exit: ProcessExit & { diskFull: boolean }, mark = 0): Promise<ProcessExit> {
    const { diskFull, ...plain } = exit
    if (diskFull) {
      if ((await this.hit('disk', 'no space or no inodes were left on the disk')) === 'report') return { ...plain, limit: 'disk' }
      const { reason } = await this.#cell.death
      // Where its keeper had to be killed for it, that is all that is known of the end.
      return exitOf(reason === 'crash' ? 'disk' : reason, plain)
    }
    if (plain.exitCode === 0) return plain
    const limit = await this.hitSince(mark)
    if (this.#death !== undefined) return exitOf(this.#death.reason, plain)
    if (limit === undefined) return plain
    return this.#limits.onHit === 'end' ? exitOf(limit, plain) : { ...plain, limit }
  }

  async lost(failure: Fault): Promise<ProcessExit> {
    const limit = await this.limitBehind(failure)
    return { exitCode: limit === 'timeout' ? TIMEOUT_EXIT_CODE : KILLED_EXIT_CODE, signal: SIGKILL, limit }
  }

  /** The limit that explains why the connection was lost. Throws SANDBOX_GONE when something else does. */
  async limitBehind(failure: Fault): Promise<EndReason> {
    const death = await this.explain(failure)
    if (LIMIT_REASONS.has(death.reason)) return death.reason
    throw gone(death, failure)
  }

  /** A connection is lost because the sandbox ends, or it ends because of that: there is no other way in. */
  async explain(failure: Fault): Promise<Death> {
    if (this.#isLetGo) throw paused()
    return this.force('crash', failure.message)
  }
}

/** Its end, once what is to be done after it is done: that is, whoever has the cell by then. Apart from a life, so that nothing else of one is kept with that. */
export function endOf(cell: Pick<Cell, 'onDeath'>, afterDeath?: () => Promise<void>): { ended: Promise<Death>; stop: () => void } {
  const died = settled<Death>()
  const stop = cell.onDeath(died.resolve)
  const ended = died.promise.then(async (death) => {
    await afterDeath?.()
    return death
  })
  return { ended, stop: afterDeath === undefined ? stop : () => undefined }
}

function exitOf(reason: EndReason, plain: ProcessExit): ProcessExit {
  if (!LIMIT_REASONS.has(reason)) return plain
  const exitCode = reason === 'timeout' ? TIMEOUT_EXIT_CODE : KILLED_EXIT_CODE
  return { exitCode, ...(plain.signal === undefined ? {} : { signal: plain.signal }), limit: reason }
}

export function gone(death: Death, cause?: unknown): Fault {
  return new Fault('SANDBOX_GONE', `the sandbox has ended (${death.reason}): ${death.detail}`, { cause })
}

function paused(): Fault {
  return new Fault('SANDBOX_GONE', 'the sandbox was paused meanwhile')
}
