import type { Fact, Scanned } from '@caisson/policy'
import type { Node } from '@vscode/tree-sitter-wasm'

/** It is larger, deeper or of more parts than is looked through; whoever wants to be sure takes it for refused. */
export class TooMuch extends Error {}

const MAX_FACTS = 20_000
const MAX_TEXT = 2000
/** Code in texts in code. */
export const MAX_LAYERS = 6
const MAX_INNER = 400

/** Reads code of a language; `at`: where it stands, if it is a text of other code. */
export type ReadInner = (language: Scanned, code: string, gathering: Gathering) => void

/** What was found so far, and where in the whole the code is that is being read. */
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

  /** Code that stands in a text. What is deeper than anybody writes is a shape of its own. */
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
