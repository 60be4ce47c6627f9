import type { Inner } from './layer/decoder.ts'
import { Layer, type LayerHouse, type Meaning, type Place } from './layer/layer.ts'
import type { Automaton } from './pattern/automaton.ts'
import type { Rules } from './rules.ts'
import type { Known, Watch } from './watch.ts'

/** Nesting limit: a compressed body, and two more levels. */
const MAX_DEPTH = 3
const MAX_LAYERS = 96
/** Limits on decompressed output: an absolute size, and a multiple of the input. */
const UNPACKED_BYTES = 4 * 1024 * 1024
const UNPACKED_RATIO = 100
/** The same for the work on all layers. It bounds the time for a byte, whatever is sent. */
const STEPS = 32 * 1024 * 1024
const STEPS_RATIO = 400
/** Limit on distinct values that are remembered. */
const MAX_SEEN = 512

/** `through`: the encodings around it, outermost first. `span`: its position in the written data; null: it is encoded there. */
export interface Finding {
  readonly detector: string
  readonly through: readonly string[]
  readonly span: { readonly start: number; readonly end: number } | null
}

/** Searches one stream for everything that the rules name, and reports each value once. Buffers only a few KiB. */
export class Scanner {
  readonly #rules: Rules
  readonly #automaton: Automaton
  readonly #found: (finding: Finding) => void
  readonly #seen = new Set<string>()
  readonly #addresses = new Set<number>()
  readonly #layer: Layer
  readonly #watch: Watch | null
  readonly #madeBefore: number
  readonly #allowance: number
  #isSpent = false
  #layers = 1
  #written = 0
  #unpacked = 0
  #steps = 0

  /** `allowance`: an absolute limit on the work, for a caller with little time that will have it searched elsewhere instead. */
  constructor(rules: Rules, watch: Watch | null, found: (finding: Finding) => void, allowance = Number.POSITIVE_INFINITY) {
    this.#allowance = allowance
    this.#rules = rules
    this.#automaton = rules.automaton
    this.#found = found
    this.#watch = watch?.isEmpty === false ? watch : null
    this.#madeBefore = rules.automaton.made
    this.#layer = new Layer(this.#house(), [])
  }

  write(bytes: Uint8Array): void {
    this.#written += bytes.length
    this.#layer.write(bytes)
  }

  /** Judges what has begun as it stands, without waiting for more. Later data may still continue it. */
  settle(): void {
    this.#layer.settle()
  }

  /** A new request begins. Values are followed across the border, numbers and words are not. */
  broken(): void {
    this.#layer.broken()
    this.#seen.clear()
  }

  /** How many of the last bytes may be the start of a match and must not be sent yet. */
  get heldBytes(): number {
    return this.#layer.heldBytes
  }

  /** The allowance was exceeded, so the findings are incomplete. */
  get isSpent(): boolean {
    return this.#isSpent
  }

  get steps(): number {
    return this.#steps + (this.#automaton.made - this.#madeBefore)
  }

  #house(): LayerHouse {
    return {
      automaton: this.#automaton,
      watch: this.#watch,
      meaning: (matcher) => this.#rules.meanings[matcher] as Meaning,
      triesAll: (matcher) => this.#rules.triesAll[matcher] as boolean,
      open: (through) => this.#open(through),
      step: (count) => {
        this.#steps += count
        if (this.steps > this.#allowance) this.#isSpent = true
        if (this.#isSpent) return false
        return this.#steps <= STEPS + STEPS_RATIO * this.#written || this.#isOver('too much work')
      },
      unpacked: (bytes) => {
        this.#unpacked += bytes
        return this.#unpacked <= UNPACKED_BYTES + UNPACKED_RATIO * this.#written || this.#isOver('bomb')
      },
      matched: (matcher, value, place, through) => this.#matched(matcher, value, place, through),
      nearly: (matcher, through) => this.#tell(this.#rules.names[matcher] as string, 'cut', through, null),
      known: (known, place, through) => this.#known(known, place, through),
      opaque: (what, through) => {
        this.#tell('unscannable', this.#rules.names[Number(what)] ?? what, through, null)
      },
    }
  }

  #open(through: readonly string[]): Inner | null {
    if (through.length > MAX_DEPTH) return null
    if (this.#layers >= MAX_LAYERS) {
      this.#isOver('too many layers')
      return null
    }
    // Not counted: compressed data comes and goes. The other decoders are opened once per layer.
    if (!['gzip', 'zlib', 'zip'].includes(through.at(-1) ?? '')) this.#layers += 1
    return new Layer(this.#house(), through)
  }

  #isOver(what: string): false {
    this.#tell('unscannable', what, [], null)
    return false
  }

  #matched(matcher: number, bytes: Uint8Array, place: Place, through: readonly string[]): boolean {
    const value = String.fromCharCode(...bytes)
    const judged = this.#rules.judge(matcher, value, place)
    if (judged === null) return false
    const { detector, atLeast } = judged
    if (atLeast === null) this.#tell(detector, hashOf(value), through, place)
    else {
      if (this.#addresses.size < atLeast) this.#addresses.add(hashOf(value.toLowerCase()))
      if (this.#addresses.size >= atLeast) this.#tell(detector, 'many', through, null)
    }
    return true
  }

  #known({ name, fingerprint, piece }: Known, place: Finding['span'], through: readonly string[]): void {
    const detector = `${fingerprint === null ? 'canary' : 'fingerprint'}:${name}`
    // A canary consists of many pieces; one is enough to report it.
    this.#tell(detector, 'value', through, piece === null ? place : null)
  }

  #tell(detector: string, value: string | number, through: readonly string[], span: Finding['span']): void {
    // Every plaintext occurrence is reported, since each has to be masked.
    const isPlain = through.length === 0 && span !== null
    const key = `${detector} ${value}`
    if (this.#seen.has(key) && !isPlain) return
    if (this.#seen.size < MAX_SEEN) this.#seen.add(key)
    this.#found({ detector, through, span: isPlain ? { start: span.start, end: span.end } : null })
  }
}

/** FNV-1a, so that the value itself is not kept. */
function hashOf(value: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < value.length; at += 1) hash = Math.imul(hash ^ value.charCodeAt(at), 0x01000193)
  return hash >>> 0
}
