/** Edits of a text, at positions in the original. No line moves unless a line break is inserted. */
export class Edits {
  readonly #text: string
  readonly #changes: { start: number; end: number; text: string; order: number }[] = []

  constructor(text: string) {
    this.#text = text
  }

  replace(start: number, end: number, text: string): void {
    this.#changes.push({ start, end, text, order: this.#changes.length })
  }

  insert(at: number, text: string): void {
    this.replace(at, at, text)
  }

  /** Removes a part, except for its line breaks. */
  blank(start: number, end: number): void {
    this.replace(start, end, blanked(this.#text.slice(start, end)))
  }

  toString(): string {
    const changes = [...this.#changes].sort((a, b) => a.start - b.start || a.order - b.order)
    let result = ''
    let at = 0
    for (const { start, end, text } of changes) {
      result += this.#text.slice(at, start) + text
      at = Math.max(at, end)
    }
    return result + this.#text.slice(at)
  }
}

export function blanked(text: string): string {
  return text.replace(/[^\n\r\u2028\u2029]/g, ' ')
}
