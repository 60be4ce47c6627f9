import { createHash } from 'node:crypto'
import { Fault } from '@caisson/wire'

const KEEP_MS = 24 * 3_600_000
const MAX_KEPT = 10_000

interface Made {
  readonly body: string
  readonly atMs: number
  readonly id: Promise<string>
}

/**
 * Creations by their Idempotency-Key: a client that lost the answer asks again with the same key, and is to get the sandbox that was made the
 * first time. What failed is not kept.
 */
export class Replays {
  readonly #made = new Map<string, Made>()

  /** The id that `create` resolves with, now or when it was first asked with this key. Rejects with CONFLICT when that was another request. */
  async once(owner: string, key: string, request: unknown, create: () => Promise<string>): Promise<string> {
    this.#forget()
    const name = `${owner}\0${key}`
    const body = createHash('sha256').update(JSON.stringify(request)).digest('hex')
    const earlier = this.#made.get(name)
    if (earlier === undefined) {
      const id = create()
      this.#made.set(name, { body, atMs: Date.now(), id })
      try {
        return await id
      } catch (failure) {
        this.#made.delete(name)
        throw failure
      }
    }
    if (earlier.body !== body) throw new Fault('CONFLICT', 'this Idempotency-Key was used with another request')
    try {
      return await earlier.id
    } catch {
      // It failed for whoever asked first, who may have gone away: that says nothing of this one.
      return this.once(owner, key, request, create)
    }
  }

  /** The map keeps the order in which they came. */
  #forget(): void {
    for (const [name, { atMs }] of this.#made) {
      if (this.#made.size < MAX_KEPT && Date.now() - atMs < KEEP_MS) return
      this.#made.delete(name)
    }
  }
}
