import { Fault, within } from '@caisson/wire'
import { orAborted } from '../lifetimes.ts'

/** How long a caller waits for another caller's change of state. After that the answer is CONFLICT. */
const SETTLE_MS = 30_000

/** Serialises the changes of state of one thing. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0

  /** Whether a change is running or queued. */
  get isMoving(): boolean {
    return this.#waiting > 0
  }

  /** Queues `work`. The signal only counts while it is queued; once started, it is carried out. */
  take<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const mine = orAborted(this.#last, signal).then(work)
    this.#waiting += 1
    this.#last = Promise.allSettled([this.#last, mine]).then(() => {
      this.#waiting -= 1
    })
    return mine
  }

  /** Resolves when all changes queued so far are done. Rejects with CONFLICT, naming `what`, when that takes too long. */
  async settled(what: string, signal: AbortSignal): Promise<void> {
    try {
      await orAborted(this.#last, within(SETTLE_MS, signal))
    } catch (cause) {
      if (signal.aborted) throw cause
      throw new Fault('CONFLICT', `${what} is changing its state`, { cause })
    }
  }
}
