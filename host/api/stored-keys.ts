import { randomUUID } from 'node:crypto'
import { Fault, WALLS } from '@caisson/wire'
import type { Owner } from '../sandbox/record.ts'
import type { Store } from '../store/store.ts'
import { hashOfKey, type KeyRecord, type Keys, type KeyWish, matchingKey, newKey } from './keys.ts'

interface Kept extends KeyRecord {
  readonly hash: Uint8Array
}

/** Keys from earlier versions lack walls, disks and snapshots. */
type Written = Omit<KeyRecord, 'leastWall'> & { hash: string; leastWall?: KeyRecord['leastWall'] }
const UNSAID = { diskMiB: null, snapshots: null, snapshotMiB: null }

/** Keys in the store, kept only as hashes. */
export class StoredKeys implements Keys {
  readonly #store: Store
  readonly #kept = new Map<string, Kept>()
  /** A cache by hash, never by key: hashing each request's key is cheap, scanning all keys is not. */
  readonly #owners = new Map<string, Owner>()

  private constructor(store: Store) {
    this.#store = store
  }

  static async open(store: Store): Promise<StoredKeys> {
    const keys = new StoredKeys(store)
    for (const { document } of await store.all('key')) {
      const { hash, leastWall = WALLS[0], ...record } = document as Written
      keys.#kept.set(record.id, { ...record, quotas: { ...UNSAID, ...record.quotas }, leastWall, hash: Buffer.from(hash, 'hex') })
    }
    return keys
  }

  list(): KeyRecord[] {
    return [...this.#kept.values()].map(({ hash: _, ...record }) => record).sort((one, other) => one.createdMs - other.createdMs)
  }

  async create(wish: KeyWish, _signal: AbortSignal): Promise<{ record: KeyRecord; key: string }> {
    const key = newKey()
    return { record: await this.add(wish, key), key }
  }

  /** Adds a key that was created elsewhere. */
  async add(wish: KeyWish, key: string): Promise<KeyRecord> {
    const record: KeyRecord = { id: randomUUID(), ...wish, createdMs: Date.now() }
    const hash = hashOfKey(key)
    await this.#store.put('key', record.id, { ...record, hash: hash.toString('hex') })
    this.#kept.set(record.id, { ...record, hash })
    return record
  }

  async revoke(id: string, _signal: AbortSignal): Promise<void> {
    if (!this.#kept.has(id)) throw new Fault('NOT_FOUND', `no key ${JSON.stringify(id)}`)
    await this.#store.remove('key', id)
    this.#kept.delete(id)
    this.#owners.clear()
  }

  ownerOf(key: string): Owner | undefined {
    const hash = hashOfKey(key).toString('hex')
    const known = this.#owners.get(hash)
    if (known !== undefined) return known
    const found = matchingKey(key, this.#kept.values())
    if (found === undefined) return undefined
    const owner = { name: found.owner, keyId: found.id, operator: found.operator, quotas: found.quotas, leastWall: found.leastWall }
    this.#owners.set(hash, owner)
    return owner
  }
}
