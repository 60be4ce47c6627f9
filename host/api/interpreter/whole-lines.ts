/** How long half a line waits for the rest of it: longer than a language takes from one word to the next, and too short to be noticed. */
const HOLD_MS = 50
const MOST_CHARACTERS = 64 * 1024

type Say = (text: string, atMs: number) => void | Promise<void>

/** Words put together to lines, of a language that prints its values word by word. */
export class WholeLines {
  readonly #say: Say
  #text = ''
  #atMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(say: Say) {
    this.#say = say
  }

  /** `atMs`: when it was printed. A promise as `say` gives it. */
  add(text: string, atMs: number): void | Promise<void> {
    if (this.#text === '') this.#atMs = atMs
    this.#text += text
    if (text.endsWith('\n') || this.#text.length > MOST_CHARACTERS) return this.flush()
    this.#timer ??= setTimeout(() => void this.flush(), HOLD_MS)
  }

  /** Before anything else is told. */
  flush(): void | Promise<void> {
    const text = this.#text
    this.forget()
    return text === '' ? undefined : this.#say(text, this.#atMs)
  }

  /** What is half said is not said any more. */
  forget(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#text = ''
  }
}
