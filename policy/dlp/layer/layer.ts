import type { Automaton, State } from '../pattern/automaton.ts'
import { REACH_BYTES } from '../pattern/positions.ts'
import type { Known, Watch } from '../watch.ts'
import { Candidates } from './candidates.ts'
import type { Decoder, Inner } from './decoder.ts'
import { Escapes } from './escapes.ts'
import { Packed, type PackedKind } from './packed.ts'
import { Runs } from './runs.ts'
import { Trail } from './trail.ts'

const RING = 4 * REACH_BYTES
const BLOCK = REACH_BYTES
const SPACE = 0x20
/** Concurrent candidates for compressed data within one layer. Each is followed until it proves invalid. */
const MAX_PACKED = 4

/** What a match means. */
export type Meaning = 'detector' | 'opaque' | PackedKind

/** The position of a match in its layer. `before` and `after`: the adjacent bytes; -1: none. */
export interface Place {
  readonly start: number
  readonly end: number
  readonly before: number
  readonly after: number
}

export interface LayerHouse {
  readonly automaton: Automaton
  readonly watch: Watch | null
  meaning(matcher: number): Meaning
  /** Whether to try every start and end until the check passes; otherwise only the longest match from the first start. */
  triesAll(matcher: number): boolean
  open(through: readonly string[]): Inner | null
  /** Counts work; false: the limit is exceeded, which has been reported. */
  step(count: number): boolean
  unpacked(bytes: number): boolean
  /** Whether the value passes its detector's check. */
  matched(matcher: number, value: Uint8Array, place: Place, through: readonly string[]): boolean
  nearly(matcher: number, through: readonly string[]): void
  known(known: Known, place: { readonly start: number; readonly end: number }, through: readonly string[]): void
  opaque(what: string, through: readonly string[]): void
}

/** A stream of bytes: the data as sent, or data decoded from it. Searches it for everything in one pass, in pieces of any size. */
export class Layer implements Inner {
  readonly #house: LayerHouse
  readonly #through: readonly string[]
  readonly #ring = new Uint8Array(RING)
  readonly #decoders: readonly Decoder[]
  readonly #candidates: Candidates
  readonly #trail: Trail | null
  #packed: Packed[] = []
  #starting: { readonly kind: PackedKind; readonly at: number }[] = []
  #state: State
  #reached = 0
  /** Nothing before this position counts. */
  #origin = 0
  /** Start of the current request. */
  #request = 0

  constructor(house: LayerHouse, through: readonly string[]) {
    this.#house = house
    this.#through = through
    this.#state = house.automaton.root()
    const open = (name: string) => house.open([...through, name])
    this.#decoders = [new Runs(open), new Escapes(open, () => this.#lookBackWhole())]
    this.#candidates = new Candidates(house, through, {
      byteAt: (at) => this.#ring[at & (RING - 1)] as number,
      floor: (joins) => Math.max(joins ? this.#origin : this.#request, this.#reached - RING + BLOCK, 0),
    })
    const { watch } = house
    this.#trail =
      watch === null
        ? null
        : new Trail({
            watch,
            lookBack: (end, length) => this.#lookBack(end, length),
            knownFound: (known, start, end) => house.known(known, { start, end }, through),
            flooded: () => house.opaque('flood', through),
          })
  }

  write(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; from += BLOCK) this.#block(bytes.subarray(from, from + BLOCK))
  }

  settle(): void {
    this.#candidates.finish(-1)
    const { automaton } = this.#house
    for (const matcher of automaton.nearly(this.#state)) {
      if (!this.#state.accepts.includes(matcher)) this.#house.nearly(matcher, this.#through)
    }
    for (const decoder of this.#decoders) decoder.settle()
    for (const packed of this.#packed) packed.inner?.settle()
  }

  broken(): void {
    this.#candidates.finish(-1)
    this.#state = this.#house.automaton.broken(this.#state)
    this.#request = this.#reached
    for (const decoder of this.#decoders) decoder.broken()
    for (const packed of this.#packed) packed.inner?.broken()
  }

  restart(): void {
    this.#candidates.forget()
    this.#state = this.#house.automaton.root()
    this.#origin = this.#reached
    this.#request = this.#reached
    this.#trail?.restart()
    for (const decoder of this.#decoders) decoder.restart()
    this.#packed = []
  }

  get isUnpacking(): boolean {
    return this.#packed.length > 0 || this.#decoders.some((decoder) => decoder.isUnpacking)
  }

  get heldBytes(): number {
    const packed = this.#packed.map(({ inner }) => (inner?.heldBytes ? Math.ceil(inner.heldBytes * 1.25) + 16 : 0))
    const decoders = this.#decoders.map(({ heldBytes }) => heldBytes)
    const held = Math.max(this.#state.held, this.#trail?.heldBytes(this.#reached) ?? 0, ...decoders, ...packed)
    return Math.min(held, this.#reached - this.#origin)
  }

  #block(block: Uint8Array): void {
    const house = this.#house
    if (!house.step(block.length)) return
    const start = this.#reached & (RING - 1)
    const head = Math.min(block.length, RING - start)
    this.#ring.set(block.subarray(0, head), start)
    this.#ring.set(block.subarray(head), 0)
    this.#scan(block)
    this.#trail?.feed(block, this.#reached)
    for (const decoder of this.#decoders) decoder.feed(block)
    this.#unpack(block)
    this.#reached += block.length
  }

  #scan(block: Uint8Array): void {
    const { automaton } = this.#house
    const { classes } = automaton
    const candidates = this.#candidates
    let state = automaton.now(this.#state).offset
    let { next } = automaton
    for (let at = 0; at < block.length; ) {
      if (candidates.isEmpty) {
        let to = 1
        while (at < block.length) {
          to = next[state + (classes[block[at] as number] as number)] as number
          if (to <= 0) break
          state = to
          at += 1
        }
        if (at === block.length) break
      }
      const to = automaton.step(state, block[at] as number)
      next = automaton.next
      state = Math.abs(to)
      at += 1
      const accepts = automaton.at(state).accepts
      candidates.mark(accepts, this.#reached + at, block[at - 1] as number)
      for (const matcher of accepts) this.#notice(matcher, at)
    }
    this.#state = automaton.at(state)
  }

  #notice(matcher: number, at: number): void {
    const meaning = this.#house.meaning(matcher)
    if (meaning !== 'detector' && meaning !== 'opaque') this.#starting.push({ kind: meaning, at })
  }

  #unpack(block: Uint8Array): void {
    const live: Packed[] = []
    const feed = (packed: Packed, bytes: Uint8Array): void => {
      const end = packed.feed(bytes)
      if (end === null) return void live.push(packed)
      if (end !== 'over') this.#house.opaque(`${end} ${packed.kind}`, this.#through)
      packed.inner?.settle()
    }
    for (const packed of this.#packed) feed(packed, block)
    for (const { kind, at } of this.#starting) {
      if (live.length >= MAX_PACKED) {
        this.#house.opaque('flood', this.#through)
        break
      }
      const open = () => this.#house.open([...this.#through, kind])
      feed(new Packed(kind, open, (bytes) => this.#house.unpacked(bytes)), block.subarray(at))
    }
    this.#packed = live
    this.#starting = []
  }

  /** The preceding bytes from the start of a word, because the end of a word could match on its own. */
  #lookBackWhole(): Uint8Array {
    const bytes = this.#lookBack(this.#reached, REACH_BYTES)
    if (this.#reached - bytes.length === this.#origin) return bytes
    const space = bytes.findIndex((byte) => byte <= SPACE)
    return bytes.subarray(Math.max(space, 0))
  }

  #lookBack(end: number, length: number): Uint8Array {
    const start = Math.max(end - length, this.#origin, this.#reached + BLOCK - RING, 0)
    const out = new Uint8Array(Math.max(0, end - start))
    for (let at = start; at < end; at += 1) out[at - start] = this.#ring[at & (RING - 1)] as number
    return out
  }
}
