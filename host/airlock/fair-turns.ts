/** So many at once in all, and so many of one; who waits has a turn after each of the others has had one, however many of its own are waiting. */
export class FairTurns {
  readonly #bounds: { readonly atOnce: number; readonly ofOne: number; readonly waitingOfOne: number }
  readonly #under = new Map<string, number>()
  /** In the order of their next turn. */
  readonly #waiting = new Map<string, (() => void)[]>()
  #all = 0

  constructor(bounds: { atOnce: number; ofOne: number; waitingOfOne: number }) {
    this.#bounds = bounds
  }

  /** Resolves to what gives the turn back; null: too many of this one wait already. */
  async take(who: string): Promise<(() => void) | null> {
    if (!this.#mayBegin(who)) {
      const line = this.#waiting.get(who) ?? []
      if (line.length >= this.#bounds.waitingOfOne) return null
      this.#waiting.set(who, line)
      await new Promise<void>((resolve) => line.push(resolve))
    } else this.#begin(who)
    return () => this.#end(who)
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
      // To the end of the row.
      this.#waiting.delete(next)
      if (line.length > 0) this.#waiting.set(next, line)
      this.#begin(next)
      return go?.()
    }
  }
}
