import { type Death, type EndReason, Fault, type Limits, type ProcessExit } from '@caisson/wire'
import type { Judge } from '../agent/process.ts'
import { freshDeadline, orAborted, settled } from '../lifetimes.ts'
import type { Cell } from '../walls/wall.ts'

/** End reasons that are limits: a pending call reports this as its outcome. Any other reason means only that the sandbox is gone. */
const LIMIT_REASONS: ReadonlySet<EndReason> = new Set(['timeout', 'memory', 'pids', 'disk', 'output'])
const TIMEOUT_EXIT_CODE = 124
const KILLED_EXIT_CODE = 137
const SIGKILL = 9
/** A keeper answers in microseconds, unless it is dead. */
const KEEPER_MS = 10_000

/** Decides what limits and deaths mean for pending calls. The keeper and the agent report the same events in different orders; this class reconciles them. */
export class Ending implements Judge {
  readonly #cell: Cell
  readonly #limits: Limits
  readonly #hits: EndReason[] = []
  readonly #deaf: (() => void)[]
  #death: Death | undefined
  /** The sandbox lives on, or sleeps, but is no longer this caller's. */
  #isLetGo = false
  /** Pending while an end that should keep the disk is under way. */
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

  /** From now on a lost connection does not end the sandbox, and its events are ignored here. */
  letGo(): void {
    this.#isLetGo = true
    for (const stop of this.#deaf.splice(0)) stop()
  }

  /** Throws SANDBOX_GONE once it has ended. */
  refuseDead(): void {
    if (this.#death !== undefined) throw gone(this.#death)
    if (this.#isLetGo) throw paused()
  }

  /** How many limits have been reported so far. Pass this to `hitSince` later. */
  get mark(): number {
    return this.#hits.length
  }

  /**
   * The limit that was hit since `mark`, if any. The keeper reports every limit that was hit before it answers a question, so asking it ensures that a process
   * which the kernel killed for memory is never taken for one that failed by itself.
   */
  async hitSince(mark: number): Promise<EndReason | undefined> {
    const answered = this.#cell.ask({ op: 'stats' }, freshDeadline(KEEPER_MS)).then(
      () => undefined,
      () => undefined,
    )
    const dead = settled<void>()
    const stop = this.#cell.onDeath(() => dead.resolve())
    await Promise.race([answered, dead.promise]).finally(stop)
    // With onHit `end`, the keeper first takes everything apart, and answers nobody meanwhile.
    if (this.#death !== undefined && LIMIT_REASONS.has(this.#death.reason)) return this.#death.reason
    return this.#hits.at(mark)
  }

  /** Reports a limit that the host counts. Either ends the sandbox, or tells the caller to end only the process that hit it. */
  async hit(reason: 'output' | 'disk', detail: string): Promise<'ended' | 'report'> {
    if (this.#limits.onHit === 'report') return 'report'
    await this.force(reason, detail)
    return 'ended'
  }

  /** Ends it and keeps its disk at that host path. Rejects when the signal aborts, and with LAUNCH_FAILED when the keeper cannot keep the disk. */
  keep(disk: string, signal: AbortSignal): Promise<Death> {
    const kept = orAborted(this.#end({ reason: 'pause', detail: 'paused', keepDisk: disk }), signal)
    this.#keeping = kept.catch(() => undefined)
    return kept
  }

  /** Ends it, by force if the keeper fails to. A keeper that is writing back a disk gets the time for that. Resolves when nothing of the sandbox is left. */
  async force(reason: EndReason, detail: string): Promise<Death> {
    const dies = this.#end({ reason, detail })
    await this.#keeping
    await this.#cell[Symbol.asyncDispose]()
    return dies
  }

  async #end(how: { reason: EndReason; detail: string; keepDisk?: string }): Promise<Death> {
    await this.#cell.ask({ op: 'kill', ...how }, freshDeadline(KEEPER_MS)).catch((failure: unknown) => {
      if (failure instanceof Fault && failure.code === 'LAUNCH_FAILED') throw failure
      // A keeper that is already ending does not answer, but writes its death record.
    })
    return this.#cell.death
  }

  /** A judge for one process. It remembers how many limits had been hit before that process. */
  judge(): Judge {
    const mark = this.mark
    return { exited: (exit) => this.exited(exit, mark), lost: (failure) => this.lost(failure) }
  }

  async exited(exit: ProcessExit & { diskFull: boolean }, mark = 0): Promise<ProcessExit> {
    const { diskFull, ...plain } = exit
    if (diskFull) {
      if ((await this.hit('disk', 'no space or no inodes were left on the disk')) === 'report') return { ...plain, limit: 'disk' }
      const { reason } = await this.#cell.death
      // If the keeper had to be killed, nothing more is known about the end.
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

  /** The limit that caused the lost connection. Throws SANDBOX_GONE for any other cause. */
  async limitBehind(failure: Fault): Promise<EndReason> {
    const death = await this.explain(failure)
    if (LIMIT_REASONS.has(death.reason)) return death.reason
    throw gone(death, failure)
  }

  /** Waits for the end of the sandbox. The agent is the only way in: either the end broke the connection, or the lost connection now ends the sandbox. */
  async explain(failure: Fault): Promise<Death> {
    if (this.#isLetGo) throw paused()
    return this.force('crash', failure.message)
  }
}

/** The sandbox's end, after `afterDeath` has run for whoever holds the cell by then. Separate from LiveSandbox, so that it keeps no other part of one alive. */
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
