import type { Inner } from './decoder.ts'
import { Inflate } from './inflate.ts'

export type PackedKind = 'gzip' | 'zlib' | 'zip'

const ENCRYPTED = 1
const STORED = 0
const DEFLATED = 8

/** Takes a header byte by byte, to its end: what follows is DEFLATE, or nobody here can look into it. */
type Header = Generator<undefined, 'data' | 'encrypted' | 'packed', number>

/** Compressed data that begins with a known mark, within whatever. What only looks like it ends soon, as nearly no bytes are valid by chance. */
export class Packed {
  readonly kind: PackedKind
  readonly #inflate: Inflate
  #inner: Inner | null | undefined
  #header: Header | null

  /** `spend` says how much more may come out: false, that was enough. */
  constructor(kind: PackedKind, open: () => Inner | null, spend: (bytes: number) => boolean) {
    this.kind = kind
    this.#header = kind === 'zlib' ? null : kind === 'gzip' ? gzipHeader() : zipHeader()
    // To where it takes its first byte.
    this.#header?.next()
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

  /** What follows the mark. Null: it goes on; `encrypted`, `packed`: it does, and nobody here can look into it. */
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

/** RFC 1952, behind `1f 8b 08`. Names may be of any length, and flags that mean nothing yet are nothing to those who unpack it. */
function* gzipHeader(): Header {
  const flags = yield
  yield* skip(6)
  if ((flags & 4) !== 0) yield* skip(yield* word())
  for (const flag of [8, 16]) if ((flags & flag) !== 0) while ((yield) !== 0);
  if ((flags & 2) !== 0) yield* skip(2)
  return 'data'
}

/** A local file header, behind `PK\3\4`. What it says is stored as it is may be packed all the same: who unpacks it believes the directory at the end. */
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
