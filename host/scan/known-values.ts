import type { Node } from '@vscode/tree-sitter-wasm'
import { TooMuch } from './gathering.ts'

export const MAX_DEPTH = 24
const MAX_SIZE = 65_536
/** Evaluation limit: longer code is meant to exhaust its reader. */
const MAX_STEPS = 300_000

/** A function whose body is known; null: its result is known only at run time. */
export type Callable = (args: readonly Known[]) => Known | null
/** The value of an expression. Bytes are texts with the characters 0 to 255; keys of a table are texts. */
export type Known = string | number | bigint | readonly Known[] | ReadonlyMap<string, Known> | Callable

/** A built-in function of a language. */
export type Call = (...args: readonly Known[]) => Known | null

/** A function of texts alone. */
export const ofText =
  (call: (text: string) => Known | null): Call =>
  (first) =>
    typeof first === 'string' ? call(first) : null

export const isList = (value: Known | null | undefined): value is readonly Known[] => Array.isArray(value)

/** Names in code and their values, as far as the code shows them. The same for each language, except for syntax. */
export abstract class KnownValues {
  /** Maps an alias to a full name: `s` to `os.system`. */
  readonly names = new Map<string, string>()
  readonly values = new Map<string, Known>()
  /** Names whose values were decoded. */
  readonly #decoded = new Set<string>()
  #decodings = 0
  #steps = 0

  /** The value of an expression; null: known only at run time. Throws TooMuch. */
  value(node: Node | null, depth = 0): Known | null {
    if (node === null || depth > MAX_DEPTH) return null
    this.#steps += 1
    if (this.#steps > MAX_STEPS) throw new TooMuch('it has more values than are followed')
    const result = this.made(node, depth + 1)
    return result === null || sizeOf(result) > MAX_SIZE ? null : result
  }

  text(node: Node | null, depth = 0): string | null {
    const value = this.value(node, depth)
    return typeof value === 'string' ? value : null
  }

  all(nodes: readonly Node[], depth: number): Known[] | null {
    const values = nodes.map((node) => this.value(node, depth))
    return values.includes(null) ? null : (values as Known[])
  }

  /** The value as a text, and whether the source writes it in a different form: as numbers, reversed, in base64. */
  read(node: Node | null): { text: string | null; isDecoded: boolean } {
    const before = this.#decodings
    const text = this.text(node)
    return { text, isDecoded: text !== null && this.#decodings > before }
  }

  /** `name = node`; `at`: the index of the item, for `a, b = node`. */
  bind(name: string, node: Node, at?: number): void {
    const before = this.#decodings
    const whole = this.value(node)
    const value = at === undefined ? whole : isList(whole) ? (whole[at] ?? null) : null
    if (value === null) this.values.delete(name)
    else this.values.set(name, value)
    if (value !== null && this.#decodings > before) this.#decoded.add(name)
    else this.#decoded.delete(name)
  }

  /** `name += node`; in a loop the number of repetitions is unknown. */
  extend(name: string, node: Node, isRepeated: boolean): void {
    const [old, more] = [this.values.get(name), this.value(node)]
    if (isRepeated || typeof old !== 'string' || typeof more !== 'string') this.values.delete(name)
    else this.values.set(name, (old + more).slice(0, MAX_SIZE))
  }

  /** Evaluates a node by its type, using `value` for its children. */
  protected abstract made(node: Node, depth: number): Known | null

  protected named(name: string): Known | null {
    if (this.#decoded.has(name)) this.#decodings += 1
    return this.values.get(name) ?? null
  }

  /** Marks the value as decoded and returns it. */
  protected decoding<T>(value: T | null): T | null {
    if (value !== null) this.#decodings += 1
    return value
  }

  /** Runs with these names bound to these values. */
  protected scoped<T>(given: ReadonlyMap<string, Known>, run: () => T): T {
    const before = [...given.keys()].map((name) => [name, this.values.get(name)] as const)
    for (const [name, value] of given) this.values.set(name, value)
    const result = run()
    for (const [name, value] of before) {
      if (value === undefined) this.values.delete(name)
      else this.values.set(name, value)
    }
    return result
  }
}

function sizeOf(value: Known): number {
  if (typeof value === 'string') return value.length
  if (isList(value)) return value.length > MAX_SIZE ? value.length : value.reduce<number>((size, one) => size + 1 + sizeOf(one), 0)
  if (value instanceof Map) return [...value.values()].reduce<number>((size, one) => size + 1 + sizeOf(one), 0)
  if (typeof value === 'bigint') return value > 2n ** 4096n || value < 0n ? MAX_SIZE + 1 : 1
  return 1
}
