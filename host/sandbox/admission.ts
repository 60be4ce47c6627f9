import { statfsSync } from 'node:fs'
import { availableParallelism, freemem, totalmem } from 'node:os'
import { Fault } from '@caisson/wire'
import { FairTurns } from '../fair-turns.ts'

const MIB = 1024 * 1024
/** Below this much memory that can still be had, a new sandbox would be made at the others' cost. */
const RESERVED_MEMORY_BYTES = Math.max(256 * MIB, totalmem() * 0.03)
const RESERVED_DISK_BYTES = 512 * MIB
/** Asking the machine costs half a millisecond; a burst asks once. */
const LOOK_MS = 200
/** What was seen so long ago still holds for one more: the machine is asked after it, when that one has most likely been served. */
const STALE_MS = 2000
const SERVED_MS = 25
/** Launches at once; more would only make each of them slower. */
const LAUNCHES = availableParallelism() * 2
/** Of one owner, waiting for a turn; then the answer is an honest no. */
const MAX_QUEUE = 512
const RETRY_S = 2

/** Says no before the machine drowns. */
export class Admission {
  readonly #home: string
  readonly #turns = new FairTurns({ atOnce: LAUNCHES, ofOne: LAUNCHES, waitingOfOne: MAX_QUEUE })
  #looked = { atMs: 0, lacks: undefined as string | undefined }
  #later: NodeJS.Timeout | undefined

  constructor(home: string) {
    this.#home = home
  }

  /** Throws OVERLOADED when the machine has no room for another. */
  refuse(): void {
    const lacks = this.#lacks()
    if (lacks !== undefined) throw new Fault('OVERLOADED', lacks, { retryAfterS: RETRY_S })
  }

  /** Runs when it is its turn: whoever has many to make takes turns with the others. Rejects with OVERLOADED when too many of that owner's wait already. */
  async inTurn<T>(owner: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const done = await this.#turns.take(owner, signal)
    if (done === null) throw new Fault('OVERLOADED', `${MAX_QUEUE} sandboxes of ${owner} wait to be made already`, { retryAfterS: RETRY_S })
    try {
      return await work()
    } finally {
      done()
    }
  }

  #lacks(): string | undefined {
    const agoMs = Date.now() - this.#looked.atMs
    if (agoMs >= STALE_MS) return this.#look()
    if (agoMs >= LOOK_MS) this.#later ??= setTimeout(() => this.#lookAfter(), SERVED_MS).unref()
    return this.#looked.lacks
  }

  #lookAfter(): void {
    try {
      this.#look()
    } catch {
      // Whoever is next looks himself, and hears of it.
      this.#looked = { atMs: 0, lacks: undefined }
    }
  }

  #look(): string | undefined {
    clearTimeout(this.#later)
    this.#later = undefined
    const memory = freemem()
    const { bavail, bsize } = statfsSync(this.#home)
    const disk = bavail * bsize
    let lacks: string | undefined
    if (memory < RESERVED_MEMORY_BYTES) lacks = `only ${Math.floor(memory / MIB)} MiB of memory are left on this machine`
    else if (disk < RESERVED_DISK_BYTES) lacks = `only ${Math.floor(disk / MIB)} MiB are left on the disk of ${this.#home}`
    this.#looked = { atMs: Date.now(), lacks }
    return lacks
  }
}
