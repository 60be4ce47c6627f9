const STRING = /"(?:[^"\\]|\\.)*"/y
const SPACE = /\s*/y
const PLAIN = /[^\s,\]}]+/y

/** The line (from 1) of a member such as `network.allow.1` in valid JSON. For a member that does not exist: the line of its nearest existing parent. */
export function lineOfMember(text: string, place: string): number {
  const end = new Walk(text).find(place.split('.'))
  return text.slice(0, end).split('\n').length
}

class Walk {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  /** Position of the deepest of these names that exists. */
  find(names: readonly string[]): number {
    this.#skip(SPACE)
    let found = this.#at
    for (const name of names) {
      const isThere = this.#text[this.#at] === '{' ? this.#member(name) : this.#text[this.#at] === '[' && this.#item(Number(name))
      if (!isThere) break
      found = this.#at
    }
    return found
  }

  /** Moves to the value of a member; false: no member has this name. */
  #member(name: string): boolean {
    this.#at += 1
    while (this.#next() !== '}') {
      const key = this.#skip(STRING)
      this.#skip(SPACE)
      this.#at += 1
      this.#skip(SPACE)
      if (JSON.parse(key) === name) return true
      this.#value()
    }
    return false
  }

  #item(index: number): boolean {
    this.#at += 1
    for (let count = 0; this.#next() !== ']'; count += 1) {
      if (count === index) return true
      this.#value()
    }
    return false
  }

  /** The next character after white space and commas. */
  #next(): string | undefined {
    this.#skip(SPACE)
    if (this.#text[this.#at] === ',') this.#at += 1
    this.#skip(SPACE)
    return this.#text[this.#at]
  }

  /** Skips a value of any depth. */
  #value(): void {
    let depth = 0
    do {
      const sign = this.#next()
      if (sign === '{' || sign === '[') depth += 1
      if (sign === '}' || sign === ']') depth -= 1
      if (sign === '"') this.#skip(STRING)
      else if ('{}[]:'.includes(sign ?? '')) this.#at += 1
      else this.#skip(PLAIN)
    } while (depth > 0)
  }

  #skip(what: RegExp): string {
    what.lastIndex = this.#at
    const [text = ''] = what.exec(this.#text) ?? []
    this.#at += text.length
    return text
  }
}
