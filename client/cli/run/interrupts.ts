/**
 * The first Ctrl-C goes to the program inside. A second one, or SIGTERM, or SIGHUP (a closed terminal), ends the sandbox: `signal` aborts, and `exitCode` is
 * the code to exit with.
 */
export class Interrupts implements Disposable {
  readonly #ended = new AbortController()
  readonly #listeners: [NodeJS.Signals, () => void][]
  #asked = 0
  #inside: (() => Promise<void>) | undefined
  exitCode: number | undefined

  constructor() {
    this.#listeners = [
      ['SIGINT', () => this.#interrupt()],
      ['SIGTERM', () => this.#end(143)],
      ['SIGHUP', () => this.#end(129)],
    ]
    for (const [name, listener] of this.#listeners) process.on(name, listener)
  }

  get signal(): AbortSignal {
    return this.#ended.signal
  }

  /** From now on the first Ctrl-C calls this. */
  inside(interrupt: () => Promise<void>): void {
    this.#inside = interrupt
  }

  /** Behaves as on SIGTERM, for when the reader of our output has gone. */
  abandon(exitCode: number): void {
    this.#end(exitCode)
  }

  [Symbol.dispose](): void {
    for (const [name, listener] of this.#listeners) process.off(name, listener)
  }

  #interrupt(): void {
    this.#asked++
    if (this.#inside !== undefined && this.#asked === 1) {
      // If the interrupt fails (the program has just ended or is stuck), the second Ctrl-C ends it.
      this.#inside().catch(() => undefined)
    } else if (this.#asked <= 2) this.#end(130)
    // Clean-up itself is stuck. Exiting is safe: the keeper ends the sandbox once this process has gone.
    else process.exit(130)
  }

  #end(exitCode: number): void {
    this.exitCode ??= exitCode
    this.#ended.abort(new Error('the sandbox is to end'))
  }
}
