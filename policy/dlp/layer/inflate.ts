const WINDOW = 32 * 1024
/** Initial window size. Many inputs only look compressed, and are not worth more. */
const FIRST_WINDOW = 512
/** Output is passed on in blocks of this size. */
const OUT = 8 * 1024
const MAX_BITS = 15
const LENGTH_BASE = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258]
const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0]
const DISTANCE_BASE = [
  ...[1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129],
  ...[193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12_289, 16_385, 24_577],
]
const DISTANCE_EXTRA = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13]
const CODE_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]

/** symbol << 4 | code length, indexed by as many bits as the longest code has; 0: invalid code. */
interface Codes {
  readonly table: Uint16Array
  readonly longest: number
}

/**
 * A streaming DEFLATE decoder (RFC 1951). It is written here because it must stop and resume at any byte, deliver output immediately, and let its driver bound
 * the work: its input is hostile. `put` returns false to stop it.
 */
export class Inflate {
  readonly #put: (bytes: Uint8Array) => boolean
  #window = new Uint8Array(FIRST_WINDOW)
  readonly #steps: Iterator<void, 'whole' | 'wrong' | 'enough'>
  #written = 0
  #given = 0
  #bytes: Uint8Array = new Uint8Array(0)
  #at = 0
  #bits = 0
  #held = 0

  constructor(put: (bytes: Uint8Array) => boolean) {
    this.#put = put
    this.#steps = this.#blocks()
  }

  /** Null: it needs more input. Otherwise the result; `wrong`: not valid DEFLATE. */
  feed(bytes: Uint8Array): 'whole' | 'wrong' | 'enough' | null {
    this.#bytes = bytes
    this.#at = 0
    const { done, value } = this.#steps.next()
    if (done !== true) return this.#give() ? null : 'enough'
    return this.#give() ? (value as 'whole' | 'wrong' | 'enough') : 'enough'
  }

  *#blocks(): Generator<void, 'whole' | 'wrong' | 'enough'> {
    for (;;) {
      while (!this.#has(3)) yield
      const isLast = this.#take(1) === 1
      const kind = this.#take(2)
      if (kind === 3) return 'wrong'
      const how = kind === 0 ? yield* this.#stored() : yield* this.#packed(kind === 1 ? FIXED : yield* this.#tables())
      if (how !== null) return how
      if (isLast) return 'whole'
    }
  }

  *#stored(): Generator<void, 'wrong' | 'enough' | null> {
    this.#take(this.#bits & 7)
    while (!this.#has(16)) yield
    const length = this.#take(16)
    while (!this.#has(16)) yield
    if (this.#take(16) !== (~length & 0xffff)) return 'wrong'
    for (let left = length; left > 0; left -= 1) {
      while (!this.#has(8)) yield
      if (!this.#byte(this.#take(8))) return 'enough'
    }
    return null
  }

  *#packed(codes: readonly [Codes, Codes] | null): Generator<void, 'wrong' | 'enough' | null> {
    if (codes === null) return 'wrong'
    const [literals, distances] = codes
    for (;;) {
      let entry = this.#peek(literals)
      while (entry === undefined) {
        yield
        entry = this.#peek(literals)
      }
      if (entry === 0) return 'wrong'
      this.#take(entry & 15)
      const symbol = entry >> 4
      if (symbol < 256) {
        if (!this.#byte(symbol)) return 'enough'
        continue
      }
      if (symbol === 256) return null
      const extra = LENGTH_EXTRA[symbol - 257]
      if (extra === undefined) return 'wrong'
      while (!this.#has(extra)) yield
      const length = (LENGTH_BASE[symbol - 257] as number) + this.#take(extra)
      let far = this.#peek(distances)
      while (far === undefined) {
        yield
        far = this.#peek(distances)
      }
      if (far === 0) return 'wrong'
      this.#take(far & 15)
      const more = DISTANCE_EXTRA[far >> 4]
      if (more === undefined) return 'wrong'
      while (!this.#has(more)) yield
      const distance = (DISTANCE_BASE[far >> 4] as number) + this.#take(more)
      if (distance > this.#written) return 'wrong'
      for (let left = length; left > 0; left -= 1) {
        if (!this.#byte(this.#window[(this.#written - distance) & (this.#window.length - 1)] as number)) return 'enough'
      }
    }
  }

  *#tables(): Generator<void, readonly [Codes, Codes] | null> {
    while (!this.#has(14)) yield
    const [literals, distances, count] = [this.#take(5) + 257, this.#take(5) + 1, this.#take(4) + 4]
    const order = new Uint8Array(19)
    for (let index = 0; index < count; index += 1) {
      while (!this.#has(3)) yield
      order[CODE_ORDER[index] as number] = this.#take(3)
    }
    const codes = codesOf(order)
    if (codes === null) return null
    const lengths = new Uint8Array(literals + distances)
    for (let index = 0; index < lengths.length; ) {
      let entry = this.#peek(codes)
      while (entry === undefined) {
        yield
        entry = this.#peek(codes)
      }
      if (entry === 0) return null
      this.#take(entry & 15)
      const symbol = entry >> 4
      if (symbol < 16) {
        lengths[index] = symbol
        index += 1
        continue
      }
      const extra = symbol === 16 ? 2 : symbol === 17 ? 3 : 7
      while (!this.#has(extra)) yield
      const times = this.#take(extra) + (symbol === 18 ? 11 : 3)
      if (index + times > lengths.length || (symbol === 16 && index === 0)) return null
      lengths.fill(symbol === 16 ? (lengths[index - 1] as number) : 0, index, index + times)
      index += times
    }
    const both = [codesOf(lengths.subarray(0, literals)), codesOf(lengths.subarray(literals))] as const
    return both[0] === null || both[1] === null ? null : [both[0], both[1]]
  }

  /** Whether this many bits are available. */
  #has(count: number): boolean {
    while (this.#bits < count) {
      if (this.#at >= this.#bytes.length) return false
      this.#held |= (this.#bytes[this.#at] as number) << this.#bits
      this.#at += 1
      this.#bits += 8
    }
    return true
  }

  /** The table entry of the next code; undefined: more bits are needed. */
  #peek({ table, longest }: Codes): number | undefined {
    const isWhole = this.#has(longest)
    const entry = table[this.#held & ((1 << longest) - 1)] as number
    if (entry !== 0 && (entry & 15) <= this.#bits) return entry
    return isWhole ? 0 : undefined
  }

  #take(count: number): number {
    const value = this.#held & ((1 << count) - 1)
    this.#held >>>= count
    this.#bits -= count
    return value
  }

  #byte(byte: number): boolean {
    const { length } = this.#window
    // Until the window wraps around, positions are unchanged.
    if (this.#written === length && length < WINDOW) {
      const larger = new Uint8Array(length * 2)
      larger.set(this.#window)
      this.#window = larger
    }
    this.#window[this.#written & (this.#window.length - 1)] = byte
    this.#written += 1
    return this.#written - this.#given < OUT || this.#give()
  }

  #give(): boolean {
    const [from, to] = [this.#given, this.#written]
    this.#given = to
    if (from === to) return true
    const { length } = this.#window
    const [start, end] = [from & (length - 1), to & (length - 1)]
    if (start < end) return this.#put(this.#window.slice(start, end))
    return this.#put(this.#window.slice(start)) && this.#put(this.#window.slice(0, end))
  }
}

/** Null: no code has these lengths. A single code may be incomplete, since encoders produce that. */
function codesOf(lengths: Uint8Array): Codes | null {
  const counts = new Uint16Array(MAX_BITS + 1)
  for (const length of lengths) counts[length] = (counts[length] as number) + 1
  counts[0] = 0
  let longest = MAX_BITS
  while (longest > 1 && counts[longest] === 0) longest -= 1
  const next = new Uint16Array(MAX_BITS + 2)
  for (let bits = 1; bits <= MAX_BITS; bits += 1) next[bits + 1] = ((next[bits] as number) + (counts[bits] as number)) << 1
  const table = new Uint16Array(1 << longest)
  let left = 1
  for (let bits = 1; bits <= longest; bits += 1) left = left * 2 - (counts[bits] as number)
  const used = counts.reduce((sum, count) => sum + count, 0)
  if (left < 0 || (left > 0 && used > 1)) return null
  for (const [symbol, length] of lengths.entries()) {
    if (length === 0) continue
    const code = next[length] as number
    next[length] = code + 1
    let reversed = 0
    for (let bit = 0; bit < length; bit += 1) reversed |= ((code >> bit) & 1) << (length - 1 - bit)
    for (let index = reversed; index < table.length; index += 1 << length) table[index] = (symbol << 4) | length
  }
  return { table, longest }
}

const FIXED: readonly [Codes, Codes] = [
  codesOf(Uint8Array.from({ length: 288 }, (_, symbol) => (symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8))),
  codesOf(new Uint8Array(32).fill(5)),
] as [Codes, Codes]
