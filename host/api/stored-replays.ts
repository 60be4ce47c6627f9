import { createHash } from 'node:crypto'
import { Fault } from '@caisson/wire'
import type { Store } from '../store/store.ts'
import type { Replays } from './control-rooms.ts'

const KEEP_MS = 24 * 3_600_000
/** Per owner, so that one owner's creations never evict another's. */
const MAX_KEPT = 10_000

interface Made {
  readonly body: string
  readonly atMs: number
  readonly id: Promise<string>
}

/** In the store, its id is a digest of owner and key. */
interface Kept {
  /** A digest of the owner; absent in records of an older version, which counted all owners together. */
  readonly owner?: string
  readonly body: string
  readonly atMs: number
  readonly id: string
}

/** Kept in the store for a day, so that another daemon gives the same answer. Failed creations are not kept. */
export class StoredReplays implements Replays {
  readonly #store: Store
  /** By owner. */
  readonly #made = new Map<string, Map<string, Made>>()

  /** Starts without earlier ones. */
  constructor(store: Store) {
    this.#store = store
  }

  /** Includes those that an earlier daemon stored. Rejects with STORE_UNUSABLE. */
  static async open(store: Store): Promise<StoredReplays> {
    const replays = new StoredReplays(store)
    const kept = (await store.all('replay')).map(({ id, document }) => [id, document as Kept] as const)
    for (const [name, { owner = '', body, atMs, id }] of kept.sort(([, one], [, other]) => one.atMs - other.atMs)) {
      replays.#of(owner).set(name, { body, atMs, id: Promise.resolve(id) })
    }
    await replays.#forget()
    return replays
  }

  async once(owner: string, key: string, request: unknown, create: () => Promise<string>): Promise<string> {
    const name = digest(`${owner}\0${key}`)
    const body = digest(JSON.stringify(request))
    const whose = digest(owner)
    const earlier = this.#of(whose).get(name) ?? this.#of('').get(name)
    if (earlier === undefined || isOld(earlier)) return this.#make(whose, name, body, create)
    if (earlier.body !== body) throw new Fault('CONFLICT', 'this Idempotency-Key was used with another request')
    try {
      return await earlier.id
    } catch {
      // It failed for the first caller, who may have disconnected; that says nothing about this request.
      return this.once(owner, key, request, create)
    }
  }

  async #make(owner: string, name: string, body: string, create: () => Promise<string>): Promise<string> {
    const atMs = Date.now()
    const making = create().then(async (id) => {
      await this.#store.put('replay', name, { owner, body, atMs, id } satisfies Kept)
      return id
    })
    // The map preserves insertion order.
    const made = this.#of(owner)
    made.delete(name)
    made.set(name, { body, atMs, id: making })
    try {
      const id = await making
      await this.#forget()
      return id
    } catch (failure) {
      made.delete(name)
      throw failure
    }
  }

  #of(owner: string): Map<string, Made> {
    let made = this.#made.get(owner)
    if (made === undefined) {
      made = new Map()
      this.#made.set(owner, made)
    }
    return made
  }

  async #forget(): Promise<void> {
    for (const made of this.#made.values()) {
      for (const [name, one] of made) {
        if (made.size <= MAX_KEPT && !isOld(one)) break
        made.delete(name)
        await this.#store.remove('replay', name)
      }
    }
  }
}

function isOld({ atMs }: Pick<Made, 'atMs'>): boolean {
  return Date.now() - atMs >= KEEP_MS
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
