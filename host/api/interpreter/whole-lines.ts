/** How long a partial line waits for its rest: longer than the gap between two words, too short to be noticed. */
const HOLD_MS = 50
const MOST_CHARACTERS = 64 * 1024

type Say = (text: string, atMs: number) => void | Promise<void>

/** Joins words to lines, for a language that prints its values word by word. */
export class WholeLines {
  readonly #say: Say
  #text = ''
  #atMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(say: Say) {
    this.#say = say
  }

  /** `atMs`: when it was printed. Returns a promise as `say` does. */
  add(text: string, atMs: number): void | Promise<void> {
    if (this.#text === '') this.#atMs = atMs
    this.#text += text
    if (text.endsWith('\n') || this.#text.length > MOST_CHARACTERS) return this.flush()
    this.#timer ??= setTimeout(() => void this.flush(), HOLD_MS)
  }

  /** Call it before any other event is sent. */
  flush(): void | Promise<void> {
    const text = this.#text
    this.forget()
    return text === '' ? undefined : this.#say(text, this.#atMs)
  }

  /** Discards a partial line. */
  forget(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#text = ''
  }
}
