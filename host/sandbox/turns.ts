import { Fault, within } from '@caisson/wire'
import { orAborted } from '../lifetimes.ts'

/** A change of state that somebody else asked for is waited for so long; then the answer is that it changes. */
const SETTLE_MS = 30_000

/** What changes the state of one thing, done one at a time. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0

  /** Whether something is being done, or waits to be. */
  get isMoving(): boolean {
    return this.#waiting > 0
  }

  /** The signal counts until it is its turn; then it is carried out. */
  take<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const mine = orAborted(this.#last, signal).then(work)
    this.#waiting += 1
    this.#last = Promise.allSettled([this.#last, mine]).then(() => {
      this.#waiting -= 1
    })
    return mine
  }

  /** Resolves when all that was asked for so far is done. Rejects with CONFLICT, naming `what`, when that takes too long. */
  async settled(what: string, signal: AbortSignal): Promise<void> {
    try {
      await orAborted(this.#last, within(SETTLE_MS, signal))
    } catch (cause) {
      if (signal.aborted) throw cause
      throw new Fault('CONFLICT', `${what} is changing its state`, { cause })
    }
  }
}
