import type { Decoder, OpenInner } from './decoder.ts'
import { bytesMeant } from './escapes.ts'
import { Phase } from './phase.ts'

/** The shortest run that is decoded: in base64 it hides nine bytes, and no value searched for is shorter. */
const LEAST_RUN = 12
/** In base32 this hides twenty bytes. Shorter mixed-case runs occur by chance in any base64. */
const LEAST_MIXED = 32
/** Symbols buffered while a run does not look like its encoding yet. */
const MAX_WAITING = 256
/** Line ends within a run: encoders break lines. */
const MAX_GAP = 2
/** Indentation at the start of its lines (YAML, XML). */
const MAX_INDENT = 64
const SIGNS = [0x25, 0x5c]

interface Alphabet {
  readonly name: string
  /** The value of each byte, or -1. */
  readonly values: Int8Array
  readonly bits: number
  /** The fewest symbols that hide as much as LEAST_RUN; and the fewest if the case is mixed, which no encoder does: it is a trick or chance. */
  readonly least: number
  readonly leastMixed: number
  /** Number of possible start offsets, in symbols: text before the run may belong to the alphabet too. */
  readonly phases: number
  /** Character classes that every longer run contains; words and paths lack some. */
  readonly kinds: number
}

const UPPER = 1
const LOWER = 2
const CODES = { A: 65, Z: 90, a: 97, z: 122 }

function alphabet(name: string, bits: number, phases: number, kinds: number, ...texts: string[]): Alphabet {
  const values = new Int8Array(256).fill(-1)
  for (const text of texts) for (const [value, character] of [...text].entries()) values[character.charCodeAt(0)] = value
  const least = Math.ceil((LEAST_RUN * 6) / bits)
  return { name, values, bits, least, leastMixed: bits === 5 ? LEAST_MIXED : least, phases, kinds }
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
const BASE64 = `${LETTERS}${LETTERS.toLowerCase()}0123456789`
const base64 = alphabet('base64', 6, 4, UPPER | LOWER, `${BASE64}+/`, `${BASE64}-_`)
const hex = alphabet('hex', 4, 2, 0, '0123456789abcdef', '0123456789ABCDEF')
const base32 = alphabet('base32', 5, 8, 0, `${LETTERS}234567`, `${LETTERS.toLowerCase()}234567`)

/**
 * Base64 (both alphabets), hex and base32, at any offset. The two smaller alphabets are subsets of the largest, so only runs of the largest are searched for.
 */
export class Runs implements Decoder {
  readonly #unfolders: readonly Unfolder[]
  readonly #head = new Uint8Array(LEAST_RUN)
  #run = 0
  #gap = 0
  #indent = 0
  /** An escape within a run whose content is being unpacked. The layer of unescaped text starts at the escape and would miss the rest. */
  #escape = ''

  constructor(open: OpenInner) {
    this.#unfolders = [base64, hex, base32].map((one) => new Unfolder(one, open))
  }

  feed(bytes: Uint8Array): void {
    const { values } = base64
    let from = this.#run >= LEAST_RUN && this.#escape === '' ? 0 : -1
    for (let at = 0; at < bytes.length; at += 1) {
      const byte = bytes[at] as number
      if (this.#escape !== '') {
        if (!this.#escaped(byte)) continue
        from = at + 1
      } else if ((values[byte] as number) >= 0) {
        this.#gap = 0
        this.#indent = 0
        if (this.#run < LEAST_RUN) {
          this.#head[this.#run] = byte
          this.#run += 1
          if (this.#run === LEAST_RUN) {
            this.#take(this.#head)
            from = at + 1
          }
        }
      } else if (this.#run > 0) {
        if (from >= 0) this.#take(bytes.subarray(from, at))
        from = -1
        if (this.#run === LEAST_RUN && SIGNS.includes(byte) && this.isUnpacking) this.#escape = String.fromCharCode(byte)
        else if (this.#isBetween(byte)) from = at + 1
        else this.#end()
      }
    }
    if (from >= 0) this.#take(bytes.subarray(from))
  }

  /** Whether the byte may separate two lines of a run. */
  #isBetween(byte: number): boolean {
    if (this.#run < LEAST_RUN) return false
    if (byte === 10 || byte === 13) {
      this.#gap += 1
      return this.#gap <= MAX_GAP
    }
    this.#indent += 1
    return this.#gap > 0 && this.#indent <= MAX_INDENT && (byte === 9 || byte === 32)
  }
  /** Adds one byte to an escape. Returns whether the run continues after it. */
  #escaped(byte: number): boolean {
    const said = this.#escape + String.fromCharCode(byte)
    const meant = bytesMeant(said)
    this.#escape = meant === 'more' ? said : ''
    if (meant === 'more') return false
    const [only = 0] = meant === 'none' || meant.length > 1 ? [] : meant
    if ((base64.values[only] as number) >= 0) {
      this.#take(Uint8Array.of(only))
      this.#gap = 0
      this.#indent = 0
      return true
    }
    if (this.#isBetween(only)) return true
    this.#end()
    // An invalid escape stands for itself.
    if (meant === 'none') this.feed(Uint8Array.from(said.slice(1), (character) => character.charCodeAt(0)))
    return false
  }

  #end(): void {
    if (this.#run === LEAST_RUN) for (const unfolder of this.#unfolders) unfolder.end()
    this.#run = 0
    this.#gap = 0
    this.#indent = 0
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
    this.#indent = 0
    this.#escape = ''
    for (const unfolder of this.#unfolders) unfolder.restart()
  }

  get isUnpacking(): boolean {
    return this.#unfolders.some((unfolder) => unfolder.isUnpacking)
  }

  get heldBytes(): number {
    return this.#run < LEAST_RUN ? 0 : Math.max(...this.#unfolders.map(({ heldBytes }) => heldBytes))
  }

  #take(bytes: Uint8Array): void {
    if (bytes.length > 0) for (const unfolder of this.#unfolders) unfolder.take(bytes)
  }
}

/** One alphabet, within a run of the largest one. */
class Unfolder {
  readonly #alphabet: Alphabet
  readonly #open: OpenInner
  readonly #waiting = new Uint8Array(MAX_WAITING)
  readonly #phases: Phase[]
  #meant = new Uint8Array(0)
  #length = 0
  #kinds = 0
  /** Number of the last symbols whose letters have one case, that case, and the number of digits at their end. */
  #alike = 0
  #case = 0
  #digits = 0
  #isOpen = false

  constructor(alphabet: Alphabet, open: OpenInner) {
    this.#alphabet = alphabet
    this.#open = open
    this.#phases = Array.from({ length: alphabet.phases }, (_, skip) => new Phase(skip))
  }

  take(bytes: Uint8Array): void {
    const { values } = this.#alphabet
    // Every symbol of a run belongs to the largest alphabet.
    if (this.#isOpen && this.#alphabet === base64) return this.#unfold(bytes)
    let from = 0
    for (let at = 0; at < bytes.length; at += 1) {
      const byte = bytes[at] as number
      if ((values[byte] as number) < 0) {
        if (this.#isOpen) this.#unfold(bytes.subarray(from, at))
        if (this.#length > 0) this.end()
        continue
      }
      if (this.#isOpen) continue
      this.#count(byte)
      this.#wait(byte)
      const { least, leastMixed, kinds } = this.#alphabet
      if ((this.#alike < least && this.#length < leastMixed) || (this.#kinds & kinds) !== kinds) continue
      this.#isOpen = true
      this.#unfold(this.#waiting.slice(0, this.#length))
      from = at + 1
    }
    if (this.#isOpen) this.#unfold(bytes.subarray(from))
  }

  end(): void {
    this.settle()
    this.restart()
  }

  restart(): void {
    if (this.#isOpen) {
      for (const phase of this.#phases) phase.restart()
    }
    this.#isOpen = false
    this.#length = 0
    this.#kinds = 0
    this.#alike = 0
    this.#case = 0
    this.#digits = 0
  }

  settle(): void {
    if (this.#isOpen) for (const phase of this.#phases) phase.settle()
  }

  broken(): void {
    if (this.#isOpen) for (const phase of this.#phases) phase.broken()
  }

  get isUnpacking(): boolean {
    return this.#isOpen && this.#phases.some((phase) => phase.isUnpacking)
  }

  get heldBytes(): number {
    if (!this.#isOpen) return 0
    const inner = Math.max(...this.#phases.map((phase) => phase.heldBytes))
    // One symbol more on either side, plus line ends.
    return inner === 0 ? 0 : Math.ceil(((inner + 2) * 8) / this.#alphabet.bits) + Math.ceil(inner / 16) + 2
  }

  #count(byte: number): void {
    const isUpper = byte >= CODES.A && byte <= CODES.Z
    const kind = isUpper ? UPPER : byte >= CODES.a && byte <= CODES.z ? LOWER : 0
    this.#kinds |= kind
    if (kind !== 0 && kind !== this.#case && this.#case !== 0) this.#alike = this.#digits
    this.#alike += 1
    if (kind === 0) this.#digits += 1
    else {
      this.#digits = 0
      this.#case = kind
    }
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
    // Looked up once for all phases. Not shared: decoded data is searched, and decoded again, meanwhile.
    if (this.#meant.length < symbols.length) this.#meant = new Uint8Array(symbols.length)
    const meant = this.#meant.subarray(0, symbols.length)
    for (let at = 0; at < symbols.length; at += 1) meant[at] = values[symbols[at] as number] as number
    for (const phase of this.#phases) phase.unfold(meant, bits, () => this.#open(name))
  }
}
