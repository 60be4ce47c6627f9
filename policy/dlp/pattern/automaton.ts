import type { Positions } from './positions.ts'

/** Cache limit. When it is reached, all states are discarded and rebuilt on demand. */
const MAX_STATES = 4096
const WORD = /[A-Za-z0-9_]/

export interface Matcher {
  readonly positions: Positions
  /** A match needs a word boundary on both sides. */
  readonly edges: boolean
  /** Matches may span two requests. */
  readonly joins: boolean
  /** A possible match is held back until it is decided. */
  readonly holds: boolean
}

/** A stream's state. Its offset in the table becomes invalid when the table is cleared. */
export interface State {
  readonly offset: number
  /** NFA positions of all matchers, ascending. */
  readonly members: readonly number[]
  readonly afterWord: boolean
  /** Matchers that have a match ending here. */
  readonly accepts: readonly number[]
  /** How many of the last bytes may be the start of a match. */
  readonly held: number
}

/**
 * All patterns as one lazily built DFA, run in a single pass. Its states are sets of positions, built when first reached. The time for a byte is bounded by the
 * number of positions, and is a single table lookup once a set is cached.
 */
export class Automaton {
  readonly matchers: readonly Matcher[]
  /** The class of each byte; bytes that no pattern distinguishes share one. */
  readonly classes: Uint8Array
  /** `next[state + class]`: 0: not computed yet; negative: a match ends in that state. */
  next: Int32Array
  #made = 0
  readonly #width: number
  #states: State[] = []
  #known = new Map<string, State>()
  readonly #base: number[] = []
  readonly #owner: number[] = []
  readonly #follow: (readonly number[])[] = []
  readonly #classSets: Uint8Array[] = []
  readonly #starts: { always: number[]; atEdge: number[] }[] = []
  readonly #sample: Uint8Array
  #generation = 0

  constructor(matchers: readonly Matcher[]) {
    this.matchers = matchers
    const { classes, samples } = classesOf(matchers)
    this.classes = classes
    this.#sample = samples
    this.#width = samples.length
    for (const [index, { positions }] of matchers.entries()) {
      const base = this.#owner.length
      this.#base.push(base)
      for (const [position, set] of positions.sets.entries()) {
        this.#owner.push(index)
        this.#follow.push((positions.follow[position] ?? []).map((other) => other + base))
        this.#classSets.push(samples.map((byte) => set[byte] as number))
      }
    }
    for (let one = 0; one < samples.length; one += 1) this.#starts.push(this.#startsOf(one))
    this.next = new Int32Array(this.#width * 64)
    this.#forget()
  }

  /** Number of sets computed so far; each costs more than a byte. */
  get made(): number {
    return this.#made
  }

  /** The transition from `state` by `byte`; negative as in `next`. */
  step(state: number, byte: number): number {
    const index = state + (this.classes[byte] as number)
    const known = this.next[index] as number
    return known !== 0 ? known : this.#find(state, this.classes[byte] as number)
  }

  /** A new request begins. */
  broken(state: State): State {
    return this.#state(
      state.members.filter((member) => this.matchers[this.#owner[member] as number]?.joins === true),
      false,
    )
  }

  /** Matchers that span requests and have most of a match here. */
  nearly(state: State): number[] {
    const near = new Set<number>()
    for (const member of state.members) {
      const owner = this.#owner[member] as number
      const { positions, joins } = this.matchers[owner] as Matcher
      if (joins && (positions.least[member - (this.#base[owner] as number)] as number) * 4 >= positions.shortest * 3) near.add(owner)
    }
    return [...near]
  }

  #find(from: number, one: number): number {
    const { members, afterWord } = this.at(from)
    const isWord = WORD.test(String.fromCharCode(this.#sample[one] as number))
    const generation = this.#generation
    const state = this.#state(this.#after(members, afterWord, one), isWord)
    const told = state.accepts.length > 0 ? -state.offset : state.offset
    if (generation === this.#generation) this.next[from + one] = told
    return told
  }

  #after(members: readonly number[], afterWord: boolean, one: number): number[] {
    const found = new Set<number>()
    for (const member of members) {
      for (const other of this.#follow[member] as readonly number[]) if ((this.#classSets[other] as Uint8Array)[one] === 1) found.add(other)
    }
    const { always, atEdge } = this.#starts[one] as { always: number[]; atEdge: number[] }
    for (const start of always) found.add(start)
    if (!afterWord) for (const start of atEdge) found.add(start)
    return [...found].sort((a, b) => a - b)
  }

  #startsOf(one: number): { always: number[]; atEdge: number[] } {
    const starts = { always: [] as number[], atEdge: [] as number[] }
    for (const [index, { positions, edges }] of this.matchers.entries()) {
      for (const start of positions.first) {
        const member = start + (this.#base[index] as number)
        if ((this.#classSets[member] as Uint8Array)[one] === 1) (edges ? starts.atEdge : starts.always).push(member)
      }
    }
    return starts
  }

  #state(members: readonly number[], afterWord: boolean): State {
    const key = `${afterWord ? 'w' : ' '}${members.join(',')}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    if (this.#states.length >= MAX_STATES) this.#forget()
    this.#made += 1 + members.length
    const offset = (this.#states.length + 1) * this.#width
    if (offset + this.#width > this.next.length) {
      const larger = new Int32Array(this.next.length * 2)
      larger.set(this.next)
      this.next = larger
    }
    const accepts = new Set<number>()
    let held = 0
    for (const member of members) {
      const owner = this.#owner[member] as number
      const { positions, holds } = this.matchers[owner] as Matcher
      const position = member - (this.#base[owner] as number)
      if (positions.last.has(position)) accepts.add(owner)
      if (holds) held = Math.max(held, positions.most[position] as number)
    }
    const state: State = { offset, members, afterWord, accepts: [...accepts], held }
    this.#states.push(state)
    this.#known.set(key, state)
    return state
  }

  #forget(): void {
    this.#generation += 1
    this.#states = []
    this.#known = new Map()
    this.next.fill(0)
  }

  /** The initial state of a stream. */
  root(): State {
    return this.#state([], false)
  }

  /** The current equivalent of a state that a stream has kept. */
  now(state: State): State {
    const known = this.#states[state.offset / this.#width - 1]
    return known === state ? state : this.#state(state.members, state.afterWord)
  }

  at(offset: number): State {
    return this.#states[offset / this.#width - 1] as State
  }
}

/** Bytes in the same sets, and alike as to word boundaries, form a class. */
function classesOf(matchers: readonly Matcher[]): { classes: Uint8Array; samples: Uint8Array } {
  const distinct = new Map<string, Uint8Array>()
  for (const { positions } of matchers) for (const set of positions.sets) distinct.set(set.join(''), set)
  const sets = [...distinct.values()]
  const known = new Map<string, number>()
  const classes = new Uint8Array(256)
  const samples: number[] = []
  for (let byte = 0; byte < 256; byte += 1) {
    const key = `${WORD.test(String.fromCharCode(byte)) ? 'w' : ' '}${sets.map((set) => set[byte]).join('')}`
    const one = known.get(key) ?? samples.push(byte) - 1
    known.set(key, one)
    classes[byte] = one
  }
  return { classes, samples: Uint8Array.from(samples) }
}
