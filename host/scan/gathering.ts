import type { Fact, Scanned } from '@caisson/policy'
import type { Node } from '@vscode/tree-sitter-wasm'

/** The code exceeds a limit of the scan in size, depth or number of parts. A cautious caller treats it as refused. */
export class TooMuch extends Error {}

const MAX_FACTS = 20_000
const MAX_TEXT = 2000
/** Nesting limit for code in texts of code. */
export const MAX_LAYERS = 6
const MAX_INNER = 400

/** Reads code of a language; `at`: its position, if it is a text within other code. */
export type ReadInner = (language: Scanned, code: string, gathering: Gathering) => void

/** The facts found so far, and the position of the code being read. */
export class Gathering {
  readonly facts: Fact[]
  readonly language: Scanned
  readonly #inner: ReadInner
  readonly #layer: number
  readonly #at: { line: number; column: number } | null
  readonly #seen: { inner: number }

  constructor(
    language: Scanned,
    inner: ReadInner,
    facts: Fact[] = [],
    layer = 0,
    at: { line: number; column: number } | null = null,
    seen = { inner: 0 },
  ) {
    this.language = language
    this.facts = facts
    this.#inner = inner
    this.#layer = layer
    this.#at = at
    this.#seen = seen
  }

  add(kind: Fact['kind'], value: string, node: Pick<Node, 'startPosition'>, args: readonly string[] = []): void {
    if (this.facts.length >= MAX_FACTS) throw new TooMuch(`it says more than ${MAX_FACTS} things`)
    const short = (text: string) => text.slice(0, MAX_TEXT)
    this.facts.push({ kind, value: short(value), args: args.map(short), language: this.language, ...this.#place(node) })
  }

  /** Reads code that is inside a text. Implausibly deep nesting is refused. */
  read(language: Scanned, code: string, node: Pick<Node, 'startPosition'>): void {
    if (code.trim() === '') return
    this.#seen.inner += 1
    if (this.#layer >= MAX_LAYERS || this.#seen.inner > MAX_INNER) throw new TooMuch('code in texts in code, without end')
    const place = this.#place(node)
    this.#inner(language, code, new Gathering(language, this.#inner, this.facts, this.#layer + 1, place, this.#seen))
  }

  #place({ startPosition }: Pick<Node, 'startPosition'>): { line: number; column: number } {
    return this.#at ?? { line: startPosition.row + 1, column: startPosition.column + 1 }
  }
}
