import type { Matcher } from '../pattern/automaton.ts'
import { REACH_BYTES } from '../pattern/positions.ts'
import type { LayerHouse } from './layer.ts'

/** Ends tried for one match: in a grouped number, each digit may be the last. */
const MAX_ENDS = 24
const NONE: readonly number[] = []

interface Ground {
  byteAt(place: number): number
  /** The earliest position that is known and counts. */
  floor(joins: boolean): number
}

/** Matches that have ended but may still grow. A value is judged only when it is complete. */
export class Candidates {
  readonly #house: LayerHouse
  readonly #through: readonly string[]
  readonly #ground: Ground
  readonly #open = new Map<number, number[]>()

  constructor(house: LayerHouse, through: readonly string[], ground: Ground) {
    this.#house = house
    this.#through = through
    this.#ground = ground
  }

  get isEmpty(): boolean {
    return this.#open.size === 0
  }

  /** `byte` led to the position `end`, where matches of `accepts` end. */
  mark(accepts: readonly number[], end: number, byte: number): void {
    for (const matcher of this.#open.keys()) if (!accepts.includes(matcher)) this.#judge(matcher, byte)
    for (const matcher of accepts) {
      const meaning = this.#house.meaning(matcher)
      if (meaning === 'opaque') this.#house.opaque(String(matcher), this.#through)
      if (meaning !== 'detector') continue
      const ends = this.#open.get(matcher)
      if (ends === undefined) this.#open.set(matcher, [end])
      else if (!this.#house.triesAll(matcher)) ends[0] = end
      else if (ends.push(end) > MAX_ENDS) ends.shift()
    }
  }

  /** `after` -1: nothing follows, for now. */
  finish(after: number): void {
    for (const matcher of this.#open.keys()) this.#judge(matcher, after)
  }

  forget(): void {
    this.#open.clear()
  }

  #judge(matcher: number, after: number): void {
    const ends = this.#open.get(matcher) ?? NONE
    this.#open.delete(matcher)
    const { edges } = this.#house.automaton.matchers[matcher] as Matcher
    for (const [index, end] of [...ends].reverse().entries()) {
      const next = index === 0 ? after : this.#ground.byteAt(end)
      if (edges && isWord(next)) continue
      for (const start of this.#starts(matcher, end)) {
        if (this.#isMatch(matcher, start, end, next)) return
        if (!this.#house.triesAll(matcher)) return
      }
    }
  }

  #isMatch(matcher: number, start: number, end: number, after: number): boolean {
    const { byteAt } = this.#ground
    const { joins } = this.#house.automaton.matchers[matcher] as Matcher
    const value = Uint8Array.from({ length: end - start }, (_, index) => byteAt(start + index))
    const before = start > this.#ground.floor(joins) ? byteAt(start - 1) : -1
    return this.#house.matched(matcher, value, { start, end, before, after }, this.#through)
  }

  /** Possible starts of a match that ends at `end`, earliest first, found by running the pattern backwards. */
  #starts(matcher: number, end: number): number[] {
    const { positions, edges, joins } = this.#house.automaton.matchers[matcher] as Matcher
    const { byteAt } = this.#ground
    const floor = Math.max(this.#ground.floor(joins), end - REACH_BYTES)
    const first = new Set(positions.first)
    const starts: number[] = []
    let members: Iterable<number> = positions.last
    let at = end - 1
    for (; at >= floor; at -= 1) {
      const byte = byteAt(at)
      const here = new Set<number>()
      for (const member of members) if (positions.sets[member]?.[byte] === 1) here.add(member)
      if (here.size === 0) break
      this.#house.step(here.size)
      const isEdge = !edges || at === floor || !isWord(byteAt(at - 1))
      if (isEdge && [...here].some((member) => first.has(member))) starts.push(at)
      const before = new Set<number>()
      for (const member of here) for (const other of positions.precede[member] ?? NONE) before.add(other)
      members = before
    }
    if (starts.length === 0) starts.push(Math.max(at + 1, floor))
    return starts.reverse()
  }
}

function isWord(byte: number): boolean {
  return byte >= 0 && /[A-Za-z0-9_]/.test(String.fromCharCode(byte))
}
