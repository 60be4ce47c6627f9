import type { Inner } from './decoder.ts'
import { Inflate } from './inflate.ts'

export type PackedKind = 'gzip' | 'zlib' | 'zip'

const ENCRYPTED = 1
const STORED = 0
const DEFLATED = 8

/** Consumes a header byte by byte. Afterwards comes DEFLATE data, or data that cannot be read. */
type Header = Generator<undefined, 'data' | 'encrypted' | 'packed', number>

/** Compressed data that starts with a known magic number, anywhere. False candidates end quickly, since random bytes are almost never valid. */
export class Packed {
  readonly kind: PackedKind
  readonly #inflate: Inflate
  #inner: Inner | null | undefined
  #header: Header | null

  /** `spend` counts output bytes; false: the limit is exceeded. */
  constructor(kind: PackedKind, open: () => Inner | null, spend: (bytes: number) => boolean) {
    this.kind = kind
    this.#header = kind === 'zlib' ? null : kind === 'gzip' ? gzipHeader() : zipHeader()
    // Runs up to the first byte that it needs.
    this.#header?.next()
    this.#inflate = new Inflate((bytes) => {
      if (!spend(bytes.length)) return false
      // Opened only at the first output, because most candidates are not compressed data.
      if (this.#inner === undefined) this.#inner = open()
      this.#inner?.write(bytes)
      return this.#inner !== null
    })
  }

  get inner(): Inner | null {
    return this.#inner ?? null
  }

  /** The data after the magic number. Null: it continues; `encrypted`, `packed`: it cannot be read. */
  feed(bytes: Uint8Array): 'over' | 'encrypted' | 'packed' | null {
    let from = 0
    while (this.#header !== null) {
      if (from === bytes.length) return null
      const { done, value } = this.#header.next(bytes[from] as number)
      from += 1
      if (done !== true) continue
      if (value !== 'data') return value
      this.#header = null
    }
    return this.#inflate.feed(bytes.subarray(from)) === null ? null : 'over'
  }
}

/** RFC 1952, after `1f 8b 08`. Names may have any length, and reserved flags are ignored, as decoders do. */
function* gzipHeader(): Header {
  const flags = yield
  yield* skip(6)
  if ((flags & 4) !== 0) yield* skip(yield* word())
  for (const flag of [8, 16]) if ((flags & flag) !== 0) while ((yield) !== 0);
  if ((flags & 2) !== 0) yield* skip(2)
  return 'data'
}

/** A local file header, after `PK\3\4`. Data marked as stored may still be compressed, because decoders trust the central directory at the end. */
function* zipHeader(): Header {
  yield* skip(2)
  const flags = yield* word()
  const method = yield* word()
  if ((flags & ENCRYPTED) !== 0) return 'encrypted'
  if (method !== DEFLATED && method !== STORED) return 'packed'
  yield* skip(16)
  const name = yield* word()
  yield* skip(name + (yield* word()))
  return 'data'
}

function* skip(bytes: number): Generator<undefined, void, number> {
  for (let left = bytes; left > 0; left -= 1) yield
}

function* word(): Generator<undefined, number, number> {
  const low = yield
  return low + (yield) * 256
}
