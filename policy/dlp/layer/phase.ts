import type { Inner } from './decoder.ts'

const BUFFER = 1024
/** Of what does not look like anything, so that what begins in it and ends beyond is whole. */
const KEPT = 16
/** After so much that looks like nothing, it is noise again. */
const QUIET = 512
/** So many characters in a row are text: no value that is looked for is shorter. */
const TEXT = 9
/** Two bytes that whatever is looked for in bytes that are no text has at its beginning: compressed, encrypted, and the versions of keys in DER. */
const MARKS = new Uint8Array(65_536)
for (const [first, ...seconds] of [
  [0x1f, 0x8b],
  [0x78, 0x01, 0x5e, 0x9c, 0xda],
  [0x50, 0x4b],
  [0x02, 0x01],
  [0x37, 0x7a],
  [0xfd, 0x37],
  [0x28, 0xb5],
  [0x52, 0x61],
  [0x42, 0x5a],
  [0x04, 0x22],
] as const) {
  for (const second of seconds) MARKS[first * 256 + second] = 1
}

/** A run read from one of its first symbols on. From all starts but one it gives noise, which is dropped before anybody looks at it. */
export class Phase {
  readonly #skip: number
  readonly #out = new Uint8Array(BUFFER)
  #inner: Inner | null | undefined
  #length = 0
  #left: number
  #held = 0
  #bits = 0
  #text = 0
  #before = 0
  #isPlausible = false
  #quiet = 0

  constructor(skip: number) {
    this.#skip = skip
    this.#left = skip
  }

  unfold(symbols: Uint8Array, values: Int8Array, bits: number, open: () => Inner | null): void {
    const out = this.#out
    let held = this.#held
    let count = this.#bits
    let text = this.#text
    let before = this.#before
    let length = this.#length
    let isPlausible = false
    const from = Math.min(this.#left, symbols.length)
    this.#left -= from
    for (let at = from; at < symbols.length; at += 1) {
      held = ((held << bits) | (values[symbols[at] as number] as number)) & 0xffff
      count += bits
      if (count < 8) continue
      count -= 8
      const byte = (held >> count) & 0xff
      if (length === BUFFER) {
        this.#length = length
        this.#flush(isPlausible, open)
        isPlausible = false
        length = this.#length
      }
      out[length] = byte
      length += 1
      if (byte >= 32 ? byte < 127 : byte === 10 || byte === 13 || byte === 9) {
        text += 1
        if (text >= TEXT) isPlausible = true
      } else text = 0
      if (MARKS[before * 256 + byte] === 1) isPlausible = true
      before = byte
    }
    this.#held = held
    this.#bits = count
    this.#text = text
    this.#before = before
    this.#length = length
    this.#flush(isPlausible, open)
  }

  end(): void {
    if (this.#isPlausible) this.#rest()
    this.#left = this.#skip
    this.#held = 0
    this.#bits = 0
    this.#text = 0
    this.#before = 0
    this.#length = 0
    this.#quiet = 0
  }

  settle(): void {
    if (this.#isPlausible) this.#inner?.settle()
  }

  broken(): void {
    if (this.#isPlausible) this.#inner?.broken()
  }

  get heldBytes(): number {
    return this.#isPlausible ? (this.#inner?.heldBytes ?? 0) : 0
  }

  /** `isPlausible`: something in what has come since the last time looks like something. */
  #flush(isPlausible: boolean, open: () => Inner | null): void {
    this.#quiet = isPlausible ? 0 : this.#quiet + this.#length
    this.#isPlausible ||= isPlausible
    if (this.#isPlausible) {
      if (this.#inner === undefined) this.#inner = open()
      this.#inner?.write(this.#out.subarray(0, this.#length))
      this.#length = 0
      if (this.#quiet > QUIET && this.#inner?.isUnpacking !== true) this.#rest()
    } else if (this.#length > KEPT) {
      this.#out.copyWithin(0, this.#length - KEPT, this.#length)
      this.#length = KEPT
    }
  }

  #rest(): void {
    this.#inner?.settle()
    this.#inner?.restart()
    this.#isPlausible = false
  }
}
