import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { WallName } from '@caisson/wire'
import type { Owner, Quotas } from '../sandbox/record.ts'

/** What may be shown of a key; never the key itself. */
export interface KeyRecord {
  readonly id: string
  /** Name of its owner. */
  readonly owner: string
  readonly operator: boolean
  readonly quotas: Quotas
  /** Sandboxes of this key get at least this wall. */
  readonly leastWall: WallName
  readonly createdMs: number
}

export interface KeyWish {
  readonly owner: string
  readonly operator: boolean
  readonly quotas: Quotas
  readonly leastWall: WallName
}

/** The keys that authenticate callers. */
export interface Keys {
  list(): KeyRecord[]
  /** The result contains `key`, which is shown only this once; only its hash is stored. */
  create(wish: KeyWish, signal: AbortSignal): Promise<{ record: KeyRecord; key: string }>
  /** Rejects with NOT_FOUND. */
  revoke(id: string, signal: AbortSignal): Promise<void>
  /** In constant time: a nearly right key takes as long as a wrong one. */
  ownerOf(key: string): Owner | undefined
}

/** A new key: `e2b_` and hexadecimal digits, the form that older SDKs require. 160 random bits. */
export function newKey(): string {
  return `e2b_${randomBytes(20).toString('hex')}`
}

/** The stored form of a key. Its bits are random, so one round of SHA-256 is enough. */
export function hashOfKey(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

/** The entry with the hash of `key`. Compares with all of them, each in constant time. */
export function matchingKey<T extends { readonly hash: Uint8Array }>(key: string, kept: Iterable<T>): T | undefined {
  const hash = hashOfKey(key)
  let found: T | undefined
  for (const one of kept) {
    if (one.hash.length === hash.length && timingSafeEqual(one.hash, hash)) found = one
  }
  return found
}
