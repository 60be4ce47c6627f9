/** A pattern is a name or several with `/` between, which the last names of a path are compared with; `*` stands for any part of a name. */
export class ShieldPatterns {
  /** By number of names, each a list of tests. */
  readonly #patterns: readonly RegExp[][]

  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.map((pattern) => pattern.replace(/\/$/, '').split('/').map(nameTest))
  }

  /** `names` are those of a path, from the folder that is looked at. */
  match(names: readonly string[]): boolean {
    return this.#patterns.some((tests) => {
      const skipped = names.length - tests.length
      return skipped >= 0 && tests.every((test, index) => test.test(names[skipped + index] ?? ''))
    })
  }
}

/** Without backtracking to speak of: of the stars in a row one is enough. */
function nameTest(name: string): RegExp {
  const parts = name.replace(/\*+/g, '*').split('*')
  return new RegExp(`^${parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`, 'su')
}
