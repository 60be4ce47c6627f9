/** Chance that can be had again: the same seed, the same choices. */
export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** 0 to 1, without 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  below(bound: number): number {
    return Math.floor(this.next() * bound)
  }

  /** One of `weighted`, each as often as its weight says. */
  choose<T>(weighted: readonly (readonly [weight: number, choice: T])[]): T {
    const total = weighted.reduce((sum, [weight]) => sum + weight, 0)
    let left = this.next() * total
    for (const [weight, choice] of weighted) {
      left -= weight
      if (left < 0) return choice
    }
    throw new RangeError('nothing to choose from')
  }
}
