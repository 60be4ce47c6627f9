/** A queue of received but unread items, for a single reader. The writer must respect its bound. */
export class Pending<T> {
  /** Total size of the waiting items. */
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

  /** Nothing more comes. The reader gets a failure only after everything before it. */
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

  /** Resolves when the reader, if there is one, has read everything or left. */
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
