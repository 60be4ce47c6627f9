import { statfsSync } from 'node:fs'
import { availableParallelism, freemem, totalmem } from 'node:os'
import { Fault } from '@caisson/wire'
import { FairTurns } from '../fair-turns.ts'

const MIB = 1024 * 1024
/** With less memory available than this, a new sandbox would slow down the existing ones. */
const RESERVED_MEMORY_BYTES = Math.max(256 * MIB, totalmem() * 0.03)
const RESERVED_DISK_BYTES = 512 * MIB
/** Reading the machine's state takes half a millisecond, so a burst of requests shares one reading. */
const LOOK_MS = 200
/** A reading up to this old still admits one more sandbox. The next reading is postponed until that sandbox has most likely been served. */
const STALE_MS = 2000
const SERVED_MS = 25
/** Concurrent launches. More would only slow each of them down. */
const LAUNCHES = availableParallelism() * 2
/** Launches that one owner may have waiting. Further ones are refused with OVERLOADED. */
const MAX_QUEUE = 512
const RETRY_S = 2

/** Admission control: refuses new sandboxes before the machine runs out of memory or disk. */
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

  /** Runs `work` in turn. Owners take turns, however many launches each has queued. Rejects with OVERLOADED when this owner has too many queued. */
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
      // The next caller reads the machine's state itself, and gets the error.
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
