import type { Decoder, OpenInner } from './decoder.ts'
import { Phase } from './phase.ts'

/** The shortest run that is looked into: in base64 it hides nine bytes. */
const LEAST_RUN = 12
/** Symbols of a run that does not look like its encoding yet. */
const MAX_WAITING = 256
/** Line ends within a run: encoders break lines. */
const MAX_GAP = 2

interface Alphabet {
  readonly name: string
  /** Of each byte its value, or -1. */
  readonly values: Int8Array
  readonly bits: number
  /** Where a run may begin, in symbols: what stands before it may be of the alphabet too. */
  readonly phases: number
  /** Kinds of characters that it has, sooner or later; words and paths lack some. */
  readonly kinds: number
}

const UPPER = 1
const LOWER = 2
const CODES = { A: 65, Z: 90, a: 97, z: 122 }

function alphabet(name: string, bits: number, phases: number, kinds: number, ...texts: string[]): Alphabet {
  const values = new Int8Array(256).fill(-1)
  for (const text of texts) for (const [value, character] of [...text].entries()) values[character.charCodeAt(0)] = value
  return { name, values, bits, phases, kinds }
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
const BASE64 = `${LETTERS}${LETTERS.toLowerCase()}0123456789`
const base64 = alphabet('base64', 6, 4, UPPER | LOWER, `${BASE64}+/`, `${BASE64}-_`)
const hex = alphabet('hex', 4, 2, 0, '0123456789abcdef', '0123456789ABCDEF')
const base32 = alphabet('base32', 5, 8, 0, `${LETTERS}234567`, `${LETTERS.toLowerCase()}234567`)

/** Base64 (both alphabets), hex and base32, wherever they begin. The two smaller alphabets are part of the largest, which is looked for. */
export class Runs implements Decoder {
  readonly #unfolders: readonly Unfolder[]
  readonly #head = new Uint8Array(LEAST_RUN)
  #run = 0
  #gap = 0

  constructor(open: OpenInner) {
    this.#unfolders = [base64, hex, base32].map((one) => new Unfolder(one, open))
  }

  feed(bytes: Uint8Array): void {
    const { values } = base64
    let from = this.#run >= LEAST_RUN ? 0 : -1
    for (let at = 0; at < bytes.length; at += 1) {
      const byte = bytes[at] as number
      if ((values[byte] as number) >= 0) {
        this.#gap = 0
        if (this.#run < LEAST_RUN) {
          this.#head[this.#run] = byte
          this.#run += 1
          if (this.#run === LEAST_RUN) {
            this.#take(this.#head)
            from = at + 1
          }
        }
      } else if (this.#run > 0) {
        if (this.#run === LEAST_RUN && (byte === 10 || byte === 13) && this.#gap < MAX_GAP) {
          this.#gap += 1
          if (from >= 0) this.#take(bytes.subarray(from, at))
          from = at + 1
          continue
        }
        if (this.#run === LEAST_RUN) {
          if (from >= 0) this.#take(bytes.subarray(from, at))
          for (const unfolder of this.#unfolders) unfolder.end()
        }
        from = -1
        this.#run = 0
        this.#gap = 0
      }
    }
    if (from >= 0) this.#take(bytes.subarray(from))
  }

  settle(): void {
    for (const unfolder of this.#unfolders) unfolder.settle()
  }

  broken(): void {
    for (const unfolder of this.#unfolders) unfolder.broken()
  }

  restart(): void {
    this.#run = 0
    this.#gap = 0
    for (const unfolder of this.#unfolders) unfolder.end()
  }

  get heldBytes(): number {
    return this.#run < LEAST_RUN ? 0 : Math.max(...this.#unfolders.map(({ heldBytes }) => heldBytes))
  }

  #take(bytes: Uint8Array): void {
    if (bytes.length > 0) for (const unfolder of this.#unfolders) unfolder.take(bytes)
  }
}

/** One alphabet within a run of the largest. */
class Unfolder {
  readonly #alphabet: Alphabet
  readonly #open: OpenInner
  readonly #waiting = new Uint8Array(MAX_WAITING)
  readonly #phases: Phase[]
  #length = 0
  #kinds = 0
  #isOpen = false

  constructor(alphabet: Alphabet, open: OpenInner) {
    this.#alphabet = alphabet
    this.#open = open
    this.#phases = Array.from({ length: alphabet.phases }, (_, skip) => new Phase(skip))
  }

  take(bytes: Uint8Array): void {
    const { values } = this.#alphabet
    let from = 0
    for (let at = 0; at < bytes.length; at += 1) {
      const byte = bytes[at] as number
      if ((values[byte] as number) < 0) {
        if (this.#isOpen) this.#unfold(bytes.subarray(from, at))
        if (this.#length > 0) this.end()
        continue
      }
      if (this.#isOpen) continue
      if (byte >= CODES.A && byte <= CODES.Z) this.#kinds |= UPPER
      else if (byte >= CODES.a && byte <= CODES.z) this.#kinds |= LOWER
      this.#wait(byte)
      if (this.#length < LEAST_RUN || (this.#kinds & this.#alphabet.kinds) !== this.#alphabet.kinds) continue
      this.#isOpen = true
      this.#unfold(this.#waiting.slice(0, this.#length))
      from = at + 1
    }
    if (this.#isOpen) this.#unfold(bytes.subarray(from))
  }

  end(): void {
    if (this.#isOpen) {
      for (const phase of this.#phases) phase.end()
    }
    this.#isOpen = false
    this.#length = 0
    this.#kinds = 0
  }

  settle(): void {
    if (this.#isOpen) for (const phase of this.#phases) phase.settle()
  }

  broken(): void {
    if (this.#isOpen) for (const phase of this.#phases) phase.broken()
  }

  get heldBytes(): number {
    if (!this.#isOpen) return 0
    const inner = Math.max(...this.#phases.map((phase) => phase.heldBytes))
    // A symbol more on either side; and the ends of lines.
    return inner === 0 ? 0 : Math.ceil(((inner + 2) * 8) / this.#alphabet.bits) + Math.ceil(inner / 16) + 2
  }

  #wait(byte: number): void {
    if (this.#length === MAX_WAITING) {
      this.#waiting.copyWithin(0, MAX_WAITING / 2)
      this.#length = MAX_WAITING / 2
      this.#kinds = 0
    }
    this.#waiting[this.#length] = byte
    this.#length += 1
  }

  #unfold(symbols: Uint8Array): void {
    if (symbols.length === 0) return
    const { name, values, bits } = this.#alphabet
    for (const phase of this.#phases) phase.unfold(symbols, values, bits, () => this.#open(name))
  }
}
