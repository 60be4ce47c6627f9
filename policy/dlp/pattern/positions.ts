import { type ByteSet, type Node, PatternError, readSyntax } from './syntax.ts'

/** Limit for one pattern. It bounds the time for a byte. */
const MAX_POSITIONS = 1024
/** How many bytes a stream remembers; a longer match is represented by its last bytes. */
export const REACH_BYTES = 1024

/**
 * A pattern as a Glushkov automaton: its byte positions, each with those that may follow. It has no states without a byte, so that in the middle of a stream a
 * set of positions is the entire state.
 */
export interface Positions {
  readonly sets: readonly ByteSet[]
  readonly first: readonly number[]
  readonly last: ReadonlySet<number>
  readonly follow: readonly (readonly number[])[]
  readonly precede: readonly (readonly number[])[]
  /** Length of the shortest and the longest path to each position, inclusive; the longest is capped at REACH_BYTES. */
  readonly least: readonly number[]
  readonly most: readonly number[]
  /** Length of the shortest match. */
  readonly shortest: number
}

/** Throws PatternError. */
export function readPositions(text: string): Positions {
  const build = new Build()
  const { first, last, isEmpty } = build.add(readSyntax(text))
  if (isEmpty) throw new PatternError('it matches where nothing stands')
  const { sets, follow } = build
  const precede: number[][] = sets.map(() => [])
  for (const [from, all] of follow.entries()) for (const to of all) precede[to]?.push(from)
  const least = shortest(sets.length, first, follow)
  const ends = new Set(last)
  return {
    sets,
    first,
    last: ends,
    follow: follow.map((all) => [...all]),
    precede,
    least,
    most: longest(sets.length, first, follow),
    shortest: Math.min(...last.map((position) => least[position] as number)),
  }
}

interface Part {
  readonly first: readonly number[]
  readonly last: readonly number[]
  readonly isEmpty: boolean
}

const NOTHING: Part = { first: [], last: [], isEmpty: true }

class Build {
  readonly sets: ByteSet[] = []
  readonly follow: Set<number>[] = []

  add(node: Node): Part {
    if (node.kind === 'byte') return this.#byte(node.set)
    if (node.kind === 'sequence') return node.parts.reduce<Part>((before, part) => this.#join(before, this.add(part)), NOTHING)
    if (node.kind === 'choice') return node.parts.map((part) => this.add(part)).reduce(either)
    return this.#repeat(node.part, node.least, node.most)
  }

  #byte(set: ByteSet): Part {
    if (this.sets.length >= MAX_POSITIONS) throw new PatternError(`written out it is longer than ${MAX_POSITIONS} bytes`)
    const position = this.sets.push(set) - 1
    this.follow.push(new Set())
    return { first: [position], last: [position], isEmpty: false }
  }

  #repeat(node: Node, least: number, most: number | null): Part {
    let part = NOTHING
    for (let time = 0; time < least; time += 1) part = this.#join(part, this.add(node))
    if (most === null) {
      const again = this.add(node)
      this.#link(again.last, again.first)
      return this.#join(part, maybe(again))
    }
    // a(b(c)?)? rather than a?b?c?: each position then has one successor, not all later ones.
    const further = Array.from({ length: most - least }, () => this.add(node))
    return this.#join(
      part,
      further.reduceRight((inner, outer) => maybe(this.#join(outer, inner)), NOTHING),
    )
  }

  #join(before: Part, after: Part): Part {
    this.#link(before.last, after.first)
    return {
      first: before.isEmpty ? [...before.first, ...after.first] : before.first,
      last: after.isEmpty ? [...before.last, ...after.last] : after.last,
      isEmpty: before.isEmpty && after.isEmpty,
    }
  }

  #link(from: readonly number[], to: readonly number[]): void {
    for (const one of from) for (const other of to) this.follow[one]?.add(other)
  }
}

function maybe({ first, last }: Part): Part {
  return { first, last, isEmpty: true }
}

function either(one: Part, other: Part): Part {
  return { first: [...one.first, ...other.first], last: [...one.last, ...other.last], isEmpty: one.isEmpty || other.isEmpty }
}

function shortest(count: number, first: readonly number[], follow: readonly ReadonlySet<number>[]): number[] {
  const least = Array<number>(count).fill(Number.POSITIVE_INFINITY)
  let wave = [...first]
  for (let bytes = 1; wave.length > 0; bytes += 1) {
    const fresh = wave.filter((position) => least[position] === Number.POSITIVE_INFINITY)
    for (const position of fresh) least[position] = bytes
    wave = fresh.flatMap((position) => [...(follow[position] ?? [])])
  }
  return least
}

/** Extends all paths by one byte per round; cycles are capped at the reach. */
function longest(count: number, first: readonly number[], follow: readonly ReadonlySet<number>[]): number[] {
  const most = Array<number>(count).fill(0)
  let wave = new Set(first)
  for (let bytes = 1; wave.size > 0 && bytes <= REACH_BYTES; bytes += 1) {
    const next = new Set<number>()
    for (const position of wave) {
      most[position] = bytes
      for (const other of follow[position] ?? []) next.add(other)
    }
    wave = next
  }
  return most
}
