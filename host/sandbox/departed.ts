/** How long the reason of a sandbox's end can be asked for. */
const REMEMBER_MS = 24 * 3600 * 1000
const MAX_REMEMBERED = 10_000

interface Departure {
  readonly id: string
  readonly goneMs: number
}

/** Sandboxes that are gone. When there are too many, the next one forgotten is the oldest of the owner with the most, so no owner displaces another's. */
export class Departed {
  /** By owner, oldest first. */
  readonly #byOwner = new Map<string, Departure[]>()
  #count = 0

  add(owner: string, departure: Departure): void {
    const theirs = this.#byOwner.get(owner) ?? []
    this.#byOwner.set(owner, theirs)
    // Nearly always appended; departures of an earlier daemon arrive in any order.
    const after = theirs.findLastIndex(({ goneMs }) => goneMs <= departure.goneMs)
    theirs.splice(after + 1, 0, departure)
    this.#count += 1
  }

  /** Removes one that is due to be forgotten and returns its id; undefined: none is. */
  forget(nowMs: number): string | undefined {
    let most: Departure[] = []
    for (const [owner, theirs] of this.#byOwner) {
      const [oldest] = theirs
      if (oldest === undefined) this.#byOwner.delete(owner)
      else if (oldest.goneMs <= nowMs - REMEMBER_MS) return this.#take(theirs)
      else if (theirs.length > most.length) most = theirs
    }
    return this.#count > MAX_REMEMBERED ? this.#take(most) : undefined
  }

  #take(theirs: Departure[]): string | undefined {
    this.#count -= 1
    return theirs.shift()?.id
  }
}
