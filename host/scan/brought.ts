/** Tracks names that hold decoded or fetched data, or data derived from it. It looks at the source text, not at values. */
export class Brought {
  readonly #names = new Set<string>()
  readonly #ways: RegExp
  readonly #nameOf: (name: string) => string | undefined

  /** `ways`: pattern of what fetches or decodes. `nameOf`: resolves an alias. */
  constructor(ways: RegExp, nameOf: (name: string) => string | undefined) {
    this.#ways = ways
    this.#nameOf = nameOf
  }

  /** `names = said` */
  bind(names: readonly string[], said: string): void {
    const isBrought = this.isIn(said)
    for (const name of names) {
      if (isBrought) this.#names.add(name)
      else this.#names.delete(name)
    }
  }

  keep(names: readonly string[]): void {
    for (const name of names) this.#names.add(name)
  }

  /** Whether the expression decodes or fetches, under any alias, or derives from data that was. */
  isIn(said: string): boolean {
    const text = said.slice(0, 4000)
    if (this.#ways.test(text)) return true
    return [...text.matchAll(/(?<![\w.$])([A-Za-z_$][\w$]*)((?:\.\w+)*)(\s*\()?/g)].some(
      ([, name = '', members = '', call]) =>
        this.#names.has(name) ||
        (members !== '' && this.#names.has(name + members)) ||
        (call !== undefined && members === '' && this.#ways.test(this.#nameOf(name) ?? '')),
    )
  }
}
