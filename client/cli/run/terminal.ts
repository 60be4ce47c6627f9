type Size = { columns: number; rows: number }

/** The terminal of this process, in raw mode until disposed: Ctrl-C is then a byte for the program inside. */
export class Terminal implements Disposable {
  #resized: (() => void) | undefined

  /** Undefined if standard input or output is not a terminal. */
  static ofThisProcess(): Terminal | undefined {
    return process.stdin.isTTY && process.stdout.isTTY ? new Terminal() : undefined
  }

  private constructor() {
    process.stdin.setRawMode(true)
  }

  get size(): Size {
    return { columns: process.stdout.columns, rows: process.stdout.rows }
  }

  onResize(listener: (size: Size) => void): void {
    this.#resized = () => listener(this.size)
    process.stdout.on('resize', this.#resized)
  }

  [Symbol.dispose](): void {
    if (this.#resized !== undefined) process.stdout.off('resize', this.#resized)
    if (!process.stdin.destroyed) process.stdin.setRawMode(false)
  }
}
