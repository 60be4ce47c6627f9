import type { Inner } from './decoder.ts'
import { ZLIB_HEADS } from './zlib-heads.ts'

const BUFFER = 256
/** Bytes of noise that are kept, so that a value which starts in them is complete. */
const KEPT = 64
/** After this many bytes without text or a mark, the data counts as noise again. */
const QUIET = 256
/** This many text characters in a row count as text: no value searched for is shorter. */
const TEXT = 9
/** The first bytes of all binary values searched for (dlp/rules.ts): two bytes, with the possible third ones; an empty list: any. */
const MARKS = new Map<number, readonly number[]>([
  [0x1f8b, [0x08]],
  ...ZLIB_HEADS.map(([first, second]): [number, number[]] => [first * 256 + second, []]),
  [0x504b, [0x03]],
  // Version numbers of keys in DER.
  [0x0201, [0x00, 0x01]],
  [0x377a, [0xbc]],
  [0xfd37, [0x7a]],
  [0x28b5, [0x2f]],
  [0x5261, [0x72]],
  [0x425a, [0x68]],
  [0x0422, [0x4d]],
])
const FIRSTS = new Uint8Array(256)
for (const pair of MARKS.keys()) FIRSTS[pair >> 8] = 1
/** 1: a text byte. */
const TEXTS = Uint8Array.from({ length: 256 }, (_, byte) => Number((byte >= 32 && byte < 127) || [9, 10, 13].includes(byte)))

/** Decodes a run starting at one of its first symbols. All starts but one yield noise, which is dropped before it is searched. */
export class Phase {
  readonly #skip: number
  readonly #out = new Uint8Array(BUFFER)
  #inner: Inner | null | undefined
  #length = 0
  #left: number
  #held = 0
  #bits = 0
  #text = 0
  #last = 0
  #isPlausible = false
  #quiet = 0

  constructor(skip: number) {
    this.#skip = skip
    this.#left = skip
  }

  /** `values`: of the symbols, `bits` bits each. */
  unfold(values: Uint8Array, bits: number, open: () => Inner | null): void {
    let at = Math.min(this.#left, values.length)
    this.#left -= at
    while (at < values.length) {
      const room = Math.floor(((BUFFER - this.#length) * 8) / bits)
      const to = Math.min(values.length, at + room)
      const from = this.#length
      this.#decode(values, at, to, bits)
      this.#flush(this.#looksLikeSomething(from), open)
      at = to
    }
  }

  #decode(values: Uint8Array, from: number, to: number, bits: number): void {
    const out = this.#out
    let held = this.#held
    let count = this.#bits
    let length = this.#length
    let at = from
    while (at < to) {
      if (count === 0) {
        // Groups that map to whole bytes leave no bits over, so they take a faster path.
        if (bits === 6) {
          for (; at + 4 <= to; at += 4, length += 3) {
            const three = (of(values, at) << 18) | (of(values, at + 1) << 12) | (of(values, at + 2) << 6) | of(values, at + 3)
            out[length] = three >> 16
            out[length + 1] = three >> 8
            out[length + 2] = three
          }
        } else if (bits === 4) {
          for (; at + 2 <= to; at += 2, length += 1) out[length] = (of(values, at) << 4) | of(values, at + 1)
        }
        if (at === to) break
      }
      held = ((held << bits) | of(values, at)) & 0xffff
      at += 1
      count += bits
      if (count < 8) continue
      count -= 8
      out[length] = held >> count
      length += 1
    }
    this.#held = held
    this.#bits = count
    this.#length = length
  }

  /** Whether the bytes decoded from `from` on contain text or a mark. */
  #looksLikeSomething(from: number): boolean {
    const out = this.#out
    const length = this.#length
    let text = this.#text
    let last = this.#last
    let isSomething = false
    for (let at = from; at < length; at += 1) {
      const byte = of(out, at)
      text = (text + 1) * of(TEXTS, byte)
      last = ((last << 8) | byte) & 0xffffff
      if (text >= TEXT || (FIRSTS[last >> 16] === 1 && isMark(last))) isSomething = true
    }
    this.#text = text
    this.#last = last
    return isSomething
  }

  restart(): void {
    if (this.#isPlausible) this.#rest()
    this.#left = this.#skip
    this.#held = 0
    this.#bits = 0
    this.#text = 0
    this.#last = 0
    this.#length = 0
    this.#quiet = 0
  }

  settle(): void {
    if (this.#isPlausible) this.#inner?.settle()
  }

  broken(): void {
    if (this.#isPlausible) this.#inner?.broken()
  }

  get isUnpacking(): boolean {
    return this.#isPlausible && this.#inner?.isUnpacking === true
  }

  get heldBytes(): number {
    return this.#isPlausible ? (this.#inner?.heldBytes ?? 0) : 0
  }

  /** `isPlausible`: whether the bytes since the last call contain text or a mark. */
  #flush(isPlausible: boolean, open: () => Inner | null): void {
    this.#quiet = isPlausible ? 0 : this.#quiet + this.#length
    this.#isPlausible ||= isPlausible
    if (this.#isPlausible) {
      if (this.#inner === undefined) this.#inner = open()
      this.#inner?.write(this.#out.subarray(0, this.#length))
      this.#length = 0
      if (this.#quiet > QUIET && !this.isUnpacking) {
        this.settle()
        this.#rest()
      }
    } else if (this.#length > KEPT) {
      this.#out.copyWithin(0, this.#length - KEPT, this.#length)
      this.#length = KEPT
    }
  }

  #rest(): void {
    this.#inner?.restart()
    this.#isPlausible = false
  }
}

function of(bytes: Uint8Array, at: number): number {
  return bytes[at] as number
}

function isMark(three: number): boolean {
  const thirds = MARKS.get(three >> 8)
  return thirds !== undefined && (thirds.length === 0 || thirds.includes(three & 0xff))
}
