import { type ChildProcess, spawn } from 'node:child_process'
import type { Line } from './keeper.ts'
import { KeeperStock } from './keeper-stock.ts'
import { LastWords } from './last-words.ts'

/** A keeper process with its standard streams as the line. It does nothing until it gets a plan, and ends when none can come any more. */
class Started implements Line {
  readonly #child: ChildProcess
  readonly #words: LastWords

  constructor(program: string, folder: string) {
    this.#words = new LastWords(folder)
    this.#child = spawn(program, ['run'], { cwd: '/', env: {}, detached: true, stdio: ['pipe', 'pipe', this.#words.descriptor] })
    // Writing to a keeper that has ended; `close` reports its end.
    this.#child.stdin?.on('error', () => undefined)
    this.#child.on('close', () => this.#words.close())
  }

  listen(heard: (chunk: Buffer) => void, over: (detail: string, cause?: unknown) => void): void {
    this.#child.on('error', (cause) => over(`the keeper could not be started: ${cause.message}`, cause))
    this.#child.stdout?.on('data', heard)
    this.#child.on('close', (code, signal) => over(`the keeper ended with ${signal ?? code} without a word`))
  }

  write(text: string): void {
    this.#child.stdin?.write(text)
  }

  /** A sandbox on the host's leash ends because of this alone. */
  end(): void {
    this.#child.stdin?.end()
  }

  release(): void {
    this.#child.stdin?.destroy()
    this.#child.stdout?.destroy()
    this.#child.unref()
  }

  distrust(): void {
    this.kill()
  }

  taken(): void {
    // Its pid is known.
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  lastWords(): string {
    return this.#words.read()
  }
}

/** Provides keepers: the native programs that build and hold sandboxes. A host that makes one sandbox starts one; a host that makes more keeps a stock. */
export class Keepers implements AsyncDisposable {
  readonly #program: string
  readonly #folder: string
  #stock: KeeperStock | undefined
  #taken = 0
  #isOver = false

  /** `folder`: for sockets and unnamed files. */
  constructor(program: string, folder: string) {
    this.#program = program
    this.#folder = folder
  }

  take(): Line {
    this.#taken += 1
    return this.#stock?.isOpen === true ? this.#stock.take() : new Started(this.#program, this.#folder)
  }

  /** Call this when there is time. Does nothing for a host that has made one sandbox only, and may never make another. */
  prepare(): void {
    if (this.#isOver || this.#taken < 2 || this.#stock?.isClosed === false) return
    this.#stock = new KeeperStock(this.#program, this.#folder)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true
    await this.#stock?.close()
  }
}
