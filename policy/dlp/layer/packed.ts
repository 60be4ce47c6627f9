import type { Inner } from './decoder.ts'
import { Inflate } from './inflate.ts'

export type PackedKind = 'gzip' | 'zlib' | 'zip'

/** Names and extra fields of a header. */
const MAX_HEADER = 2 * 65_536 + 64
const ENCRYPTED = 1
const DEFLATED = 8

/** What came out of a header that is being read: where the data begins, that more is needed, or that there is none. */
type Header = { readonly data: number } | 'more' | 'none' | 'encrypted'

/** Compressed data that begins with a known mark, within whatever. What only looks like it ends soon, as nearly no bytes are valid by chance. */
export class Packed {
  readonly kind: PackedKind
  readonly #inflate: Inflate
  #inner: Inner | null | undefined
  #header: Uint8Array | null = new Uint8Array(0)

  /** `spend` says how much more may come out: false, that was enough. */
  constructor(kind: PackedKind, open: () => Inner | null, spend: (bytes: number) => boolean) {
    this.kind = kind
    this.#inflate = new Inflate((bytes) => {
      if (!spend(bytes.length)) return false
      // Not before there is something: most that looks like compressed data is none.
      if (this.#inner === undefined) this.#inner = open()
      this.#inner?.write(bytes)
      return this.#inner !== null
    })
  }

  get inner(): Inner | null {
    return this.#inner ?? null
  }

  /** What follows the mark. Null: it goes on. */
  feed(bytes: Uint8Array): 'over' | 'encrypted' | null {
    if (this.#header === null) return this.#inflate.feed(bytes) === null ? null : 'over'
    const all = new Uint8Array(this.#header.length + bytes.length)
    all.set(this.#header)
    all.set(bytes, this.#header.length)
    const header = headerOf(this.kind, all)
    if (header === 'encrypted') return header
    if (header === 'none' || (header === 'more' && all.length > MAX_HEADER)) return 'over'
    if (header === 'more') {
      this.#header = all
      return null
    }
    this.#header = null
    return this.#inflate.feed(all.subarray(header.data)) === null ? null : 'over'
  }
}

function headerOf(kind: PackedKind, bytes: Uint8Array): Header {
  if (kind === 'zlib') return { data: 0 }
  return kind === 'gzip' ? gzipHeader(bytes) : zipHeader(bytes)
}

/** RFC 1952, behind `1f 8b 08`. */
function gzipHeader(bytes: Uint8Array): Header {
  const flags = bytes[0]
  if (flags === undefined || bytes.length < 7) return 'more'
  if ((flags & 0xe0) !== 0) return 'none'
  let at = 7
  if ((flags & 4) !== 0) {
    if (bytes.length < at + 2) return 'more'
    at += 2 + (bytes[at] as number) + (bytes[at + 1] as number) * 256
  }
  for (const flag of [8, 16]) {
    if ((flags & flag) === 0) continue
    const end = at < bytes.length ? bytes.indexOf(0, at) : -1
    if (end < 0) return 'more'
    at = end + 1
  }
  if ((flags & 2) !== 0) at += 2
  return at <= bytes.length ? { data: at } : 'more'
}

/** A local file header, behind `PK\3\4`. What is stored as it is needs no unpacking. */
function zipHeader(bytes: Uint8Array): Header {
  if (bytes.length < 26) return 'more'
  const word = (at: number): number => (bytes[at] as number) + (bytes[at + 1] as number) * 256
  if ((word(2) & ENCRYPTED) !== 0) return 'encrypted'
  if (word(4) !== DEFLATED) return 'none'
  const data = 26 + word(22) + word(24)
  return data <= bytes.length ? { data } : 'more'
}
