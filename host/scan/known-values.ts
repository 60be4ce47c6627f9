import type { Node } from '@vscode/tree-sitter-wasm'
import { TooMuch } from './gathering.ts'

export const MAX_DEPTH = 24
const MAX_SIZE = 65_536
/** Who writes more than this wants to wear out whoever reads it. */
const MAX_STEPS = 300_000

/** What can be called, as far as it is written in the code; null: what comes of it is only known when it runs. */
export type Callable = (args: readonly Known[]) => Known | null
/** What an expression comes to. Bytes are texts of the characters 0 to 255; of a table, the keys are texts. */
export type Known = string | number | bigint | readonly Known[] | ReadonlyMap<string, Known> | Callable

/** A function of a language, which makes something of what it is given. */
export type Call = (...args: readonly Known[]) => Known | null

/** One of texts alone. */
export const ofText =
  (call: (text: string) => Known | null): Call =>
  (first) =>
    typeof first === 'string' ? call(first) : null

export const isList = (value: Known | null | undefined): value is readonly Known[] => Array.isArray(value)

/** Names of code, and what they stand for as far as that is written there; for each language the same, but for how it writes things. */
export abstract class KnownValues {
  /** `s` stands for `os.system`. */
  readonly names = new Map<string, string>()
  readonly values = new Map<string, Known>()
  /** Names whose value was decoded. */
  readonly #decoded = new Set<string>()
  #decodings = 0
  #steps = 0

  /** What an expression comes to; null: that is only known when the code runs. Throws TooMuch. */
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

  /** A text, and whether it stands in the code in another form than it has when it runs: in numbers, turned round, in base64. */
  read(node: Node | null): { text: string | null; isDecoded: boolean } {
    const before = this.#decodings
    const text = this.text(node)
    return { text, isDecoded: text !== null && this.#decodings > before }
  }

  /** `name = node`; `at`: the item of it that it is, of `a, b = node`. */
  bind(name: string, node: Node, at?: number): void {
    const before = this.#decodings
    const whole = this.value(node)
    const value = at === undefined ? whole : isList(whole) ? (whole[at] ?? null) : null
    if (value === null) this.values.delete(name)
    else this.values.set(name, value)
    if (value !== null && this.#decodings > before) this.#decoded.add(name)
    else this.#decoded.delete(name)
  }

  /** `name += node`; in a loop nobody knows how often. */
  extend(name: string, node: Node, isRepeated: boolean): void {
    const [old, more] = [this.values.get(name), this.value(node)]
    if (isRepeated || typeof old !== 'string' || typeof more !== 'string') this.values.delete(name)
    else this.values.set(name, (old + more).slice(0, MAX_SIZE))
  }

  /** Of one node, by its type; what is within it is asked for by `value`. */
  protected abstract made(node: Node, depth: number): Known | null

  protected named(name: string): Known | null {
    if (this.#decoded.has(name)) this.#decodings += 1
    return this.values.get(name) ?? null
  }

  /** Passes on what was decoded. */
  protected decoding<T>(value: T | null): T | null {
    if (value !== null) this.#decodings += 1
    return value
  }

  /** While these names stand for these values. */
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
