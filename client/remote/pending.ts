/** What has come and has not been read, up to a bound that the one who fills it keeps to. Has one reader. */
export class Pending<T> {
  /** Of all that waits. */
  size = 0
  readonly #waiting: { value: T; size: number }[] = []
  #end: { failure?: unknown } | undefined
  #isLeft = false
  #isRead = false
  readonly #left: Promise<void>
  #leave: () => void = () => undefined
  #wakeReader: (() => void) | undefined
  #wakeWriter: (() => void) | undefined

  constructor() {
    this.#left = new Promise((resolve) => {
      this.#leave = resolve
    })
  }

  push(value: T, size: number): void {
    if (this.#isLeft || this.#end !== undefined) return
    this.#waiting.push({ value, size })
    this.size += size
    this.#wakeReader?.()
  }

  /** No more comes. A failure is thrown at the reader, after all that came before. */
  end(failure?: unknown): void {
    this.#end ??= failure === undefined ? {} : { failure }
    this.#wakeReader?.()
  }

  /** Resolves when less than `size` waits, or nobody reads any more. */
  async roomBelow(size: number): Promise<void> {
    while (this.size >= size && !this.#isLeft) {
      await new Promise<void>((wake) => {
        this.#wakeWriter = wake
      })
    }
  }

  /** Resolves when the reader, if there is one, has read all of it or has left. */
  async drained(): Promise<void> {
    if (this.#isRead) await this.#left
  }

  async *read(): AsyncGenerator<T> {
    this.#isRead = true
    try {
      for (;;) {
        const next = this.#waiting.shift()
        if (next !== undefined) {
          this.size -= next.size
          this.#wakeWriter?.()
          yield next.value
        } else if (this.#end !== undefined) {
          if ('failure' in this.#end) throw this.#end.failure
          return
        } else {
          await new Promise<void>((wake) => {
            this.#wakeReader = wake
          })
        }
      }
    } finally {
      this.#isLeft = true
      this.#waiting.length = 0
      this.size = 0
      this.#wakeWriter?.()
      this.#leave()
    }
  }
}
