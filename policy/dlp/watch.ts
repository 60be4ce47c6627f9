/** Length of the piece by which a value is found. Values are at least as long. */
export const PIECE_BYTES = 8
const FILTER_BITS = 16

/** `digest`: a keyed one-way digest as text (HMAC-SHA-256, hex). The host provides it; this folder does no cryptography. */
export type Digest = (salt: string, value: Uint8Array) => string

/** A known value that is not stored: its length, a hash of its first bytes to find it, and a digest of all of it to confirm it. */
export interface Fingerprint {
  readonly name: string
  readonly lengthBytes: number
  readonly piece: number
  readonly digest: string
}

/** A value that exists only in one sandbox. */
export interface Canary {
  readonly name: string
  readonly value: string
}

export interface Known {
  readonly name: string
  readonly fingerprint: Fingerprint | null
  /** The piece itself, case-folded. Null for a fingerprint, which its digest confirms. */
  readonly piece: string | null
}

/** Finds known values by a rolling hash: one step per byte, however many values there are. */
export class Watch {
  readonly salt: string
  readonly digest: Digest
  readonly base: number
  /** The factor that removes the oldest byte from the hash. */
  readonly leaving: number
  readonly #filter = new Uint8Array(1 << (FILTER_BITS - 3))
  readonly #known = new Map<number, Known[]>()

  constructor(salt: string, digest: Digest, fingerprints: readonly Fingerprint[], canaries: readonly Canary[]) {
    this.salt = salt
    this.digest = digest
    this.base = baseOf(salt)
    this.leaving = powerOf(this.base)
    for (const fingerprint of fingerprints) this.#add(fingerprint.piece, { name: fingerprint.name, fingerprint, piece: null })
    for (const { name, value } of canaries) {
      for (const form of formsOf(fold(value))) {
        for (let at = 0; at + PIECE_BYTES <= form.length; at += 1) {
          const piece = form.slice(at, at + PIECE_BYTES)
          this.#add(pieceHash(this.base, bytesOf(piece)), { name, fingerprint: null, piece })
        }
      }
    }
  }

  get isEmpty(): boolean {
    return this.#known.size === 0
  }

  mayKnow(hash: number): boolean {
    const slot = hash >>> (32 - FILTER_BITS)
    return ((this.#filter[slot >> 3] as number) & (1 << (slot & 7))) !== 0
  }

  at(hash: number): readonly Known[] {
    return this.#known.get(hash >>> 0) ?? []
  }

  #add(hash: number, known: Known): void {
    const slot = hash >>> (32 - FILTER_BITS)
    this.#filter[slot >> 3] = (this.#filter[slot >> 3] as number) | (1 << (slot & 7))
    const list = this.#known.get(hash >>> 0) ?? []
    this.#known.set(hash >>> 0, list)
    list.push(known)
  }
}

/** Folds the case of letters, because DNS names do not preserve it. */
export function folded(byte: number): number {
  return byte >= 65 && byte <= 90 ? byte | 32 : byte
}

/** The value as somebody might disguise it: plain, reversed, ROT13. */
function formsOf(value: string): string[] {
  const moved = value.replace(/[a-z]/g, (letter) => String.fromCharCode(((letter.charCodeAt(0) - 97 + 13) % 26) + 97))
  return [value, [...value].reverse().join(''), moved]
}

function fold(value: string): string {
  return value.toLowerCase()
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}

function baseOf(salt: string): number {
  let base = 0x9e37_79b1
  for (const character of salt) base = Math.imul(base ^ character.charCodeAt(0), 0x01000193)
  return base | 1
}

function powerOf(base: number): number {
  let power = 1
  for (let time = 0; time < PIECE_BYTES; time += 1) power = Math.imul(power, base)
  return power
}

function pieceHash(base: number, bytes: Uint8Array): number {
  let hash = 0
  for (const byte of bytes.subarray(0, PIECE_BYTES)) hash = (Math.imul(hash, base) + folded(byte) + 1) | 0
  return hash >>> 0
}

/** The policy file's entry for a value that it must not contain. `salt`: one for the whole file. */
export function fingerprintOf(name: string, value: Uint8Array, salt: string, digest: Digest): Fingerprint {
  return { name, lengthBytes: value.length, piece: pieceHash(baseOf(salt), value), digest: digest(salt, value) }
}
