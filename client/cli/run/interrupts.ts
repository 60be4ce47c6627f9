/**
 * Ctrl-C once is for what runs inside; twice, or SIGTERM, or SIGHUP (a closed terminal), ends the sandbox. `signal` aborts then, and
 * `exitCode` says what to end with.
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

  /** From now on the first Ctrl-C goes here. */
  inside(interrupt: () => Promise<void>): void {
    this.#inside = interrupt
  }

  /** As if SIGTERM had come, for a reader of our output who has gone. */
  abandon(exitCode: number): void {
    this.#end(exitCode)
  }

  [Symbol.dispose](): void {
    for (const [name, listener] of this.#listeners) process.off(name, listener)
  }

  #interrupt(): void {
    this.#asked++
    if (this.#inside !== undefined && this.#asked === 1) {
      // What cannot be interrupted (it has just ended, or it is stuck) is ended by the second one.
      this.#inside().catch(() => undefined)
    } else if (this.#asked <= 2) this.#end(130)
    // Clean-up itself does not come back: the keeper ends the sandbox when this process has gone.
    else process.exit(130)
  }

  #end(exitCode: number): void {
    this.exitCode ??= exitCode
    this.#ended.abort(new Error('the sandbox is to end'))
  }
}
