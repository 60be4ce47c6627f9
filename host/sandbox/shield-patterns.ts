/** A pattern is a name, or several separated by `/`, and is compared with the last names of a path; `*` stands for any part of a name. */
export class ShieldPatterns {
  /** By number of names in the pattern. */
  readonly #patterns: readonly RegExp[][]

  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.map((pattern) => pattern.replace(/\/$/, '').split('/').map(nameTest))
  }

  /** `names`: the names of a path, relative to the examined folder. */
  match(names: readonly string[]): boolean {
    return this.#patterns.some((tests) => {
      const skipped = names.length - tests.length
      return skipped >= 0 && tests.every((test, index) => test.test(names[skipped + index] ?? ''))
    })
  }
}

/** Consecutive stars are merged to avoid catastrophic backtracking. */
function nameTest(name: string): RegExp {
  const parts = name.replace(/\*+/g, '*').split('*')
  return new RegExp(`^${parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`, 'su')
}
