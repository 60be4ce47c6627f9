import { orAborted } from './lifetimes.ts'

/**
 * A fair semaphore: limits on concurrent work in total and per owner. Each owner that waits gets its next turn after one of every other, however many it has
 * queued.
 */
export class FairTurns {
  readonly #bounds: { readonly atOnce: number; readonly ofOne: number; readonly waitingOfOne: number }
  readonly #under = new Map<string, number>()
  /** Owners, in order of their next turn. */
  readonly #waiting = new Map<string, (() => void)[]>()
  #all = 0

  constructor(bounds: { atOnce: number; ofOne: number; waitingOfOne: number }) {
    this.#bounds = bounds
  }

  /** Resolves to a function that ends the turn; null: too many of this owner wait already. Rejects when the signal aborts before its turn. */
  async take(who: string, signal?: AbortSignal): Promise<(() => void) | null> {
    if (!this.#mayBegin(who)) {
      const line = this.#waiting.get(who) ?? []
      if (line.length >= this.#bounds.waitingOfOne) return null
      this.#waiting.set(who, line)
      await this.#wait(who, line, signal)
    } else this.#begin(who)
    return () => this.#end(who)
  }

  async #wait(who: string, line: (() => void)[], signal: AbortSignal | undefined): Promise<void> {
    let mine: () => void = () => undefined
    const turn = new Promise<void>((resolve) => {
      mine = resolve
      line.push(resolve)
    })
    try {
      await (signal === undefined ? turn : orAborted(turn, signal))
    } catch (failure) {
      const index = line.indexOf(mine)
      // Its turn came at the same moment.
      if (index < 0) this.#end(who)
      else line.splice(index, 1)
      if (line.length === 0 && this.#waiting.get(who) === line) this.#waiting.delete(who)
      throw failure
    }
  }

  #mayBegin(who: string): boolean {
    return this.#all < this.#bounds.atOnce && (this.#under.get(who) ?? 0) < this.#bounds.ofOne
  }

  #begin(who: string): void {
    this.#all += 1
    this.#under.set(who, (this.#under.get(who) ?? 0) + 1)
  }

  #end(who: string): void {
    this.#all -= 1
    const left = (this.#under.get(who) ?? 1) - 1
    if (left > 0) this.#under.set(who, left)
    else this.#under.delete(who)
    for (const [next, line] of this.#waiting) {
      if (!this.#mayBegin(next)) continue
      const go = line.shift()
      // Moves to the end of the queue.
      this.#waiting.delete(next)
      if (line.length > 0) this.#waiting.set(next, line)
      this.#begin(next)
      return go?.()
    }
  }
}
