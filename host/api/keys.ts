import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { WallName } from '@caisson/wire'
import type { Owner, Quotas } from '../sandbox/record.ts'

/** What may be told of a key; never the key. */
export interface KeyRecord {
  readonly id: string
  /** Name of its owner. */
  readonly owner: string
  readonly operator: boolean
  readonly quotas: Quotas
  /** Sandboxes of this key get no weaker one. */
  readonly leastWall: WallName
  readonly createdMs: number
}

export interface KeyWish {
  readonly owner: string
  readonly operator: boolean
  readonly quotas: Quotas
  readonly leastWall: WallName
}

/** Who may call. */
export interface Keys {
  list(): KeyRecord[]
  /** `key` is told this once; only its hash is kept. */
  create(wish: KeyWish, signal: AbortSignal): Promise<{ record: KeyRecord; key: string }>
  /** Rejects with NOT_FOUND. */
  revoke(id: string, signal: AbortSignal): Promise<void>
  /** Takes as long for a key that is nearly right as for one that is not. */
  ownerOf(key: string): Owner | undefined
}

/** Older SDKs want exactly this form: `e2b_` and hexadecimal digits. 160 random bits. */
export function newKey(): string {
  return `e2b_${randomBytes(20).toString('hex')}`
}

/** What is kept of a key: its bits are random, so that one round of SHA-256 is enough. */
export function hashOfKey(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

/** The one whose hash is that of `key`. Looks at all of them, each in constant time. */
export function matchingKey<T extends { readonly hash: Uint8Array }>(key: string, kept: Iterable<T>): T | undefined {
  const hash = hashOfKey(key)
  let found: T | undefined
  for (const one of kept) {
    if (one.hash.length === hash.length && timingSafeEqual(one.hash, hash)) found = one
  }
  return found
}
