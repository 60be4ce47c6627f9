import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Line } from './keeper.ts'
import { KeeperSocket } from './keeper-socket.ts'
import { LastWords } from './last-words.ts'

/** A small process that keeps idle keepers ready (native/keeper/src/stock.rs): connecting takes one. It ends with this host; keepers in use live on. */
export class KeeperStock {
  readonly #child: ChildProcess
  readonly #path: string
  /** Shared by all its keepers. */
  readonly #words: LastWords
  readonly #closed: Promise<void>
  #state: 'starting' | 'open' | 'closed' = 'starting'

  constructor(program: string, folder: string) {
    this.#path = join(folder, `keepers-${randomUUID().slice(0, 8)}.sock`)
    this.#words = new LastWords(folder)
    this.#child = spawn(program, ['stock', this.#path], {
      cwd: '/',
      env: {},
      detached: true,
      stdio: ['pipe', 'pipe', this.#words.descriptor],
    })
    const { stdin, stdout } = this.#child
    stdin?.on('error', () => undefined)
    stdout?.once('data', (said: Buffer) => {
      if (this.#state === 'starting' && said.toString() === '\n') this.#state = 'open'
    })
    this.#closed = new Promise((resolve) => {
      const close = () => {
        if (this.#state === 'closed') return
        this.#state = 'closed'
        rmSync(this.#path, { force: true })
        this.#words.close()
        resolve()
      }
      this.#child.on('error', close)
      this.#child.on('close', close)
    })
    this.#waitFor(false)
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  get isClosed(): boolean {
    return this.#state === 'closed'
  }

  take(): Line {
    // If a keeper does not answer, the stock is stuck, and so would the next caller be: it is killed with its idle keepers.
    return KeeperSocket.taken(this.#path, this.#words, () => this.#child.kill('SIGKILL'))
  }

  async close(): Promise<void> {
    this.#waitFor(true)
    this.#child.stdin?.end()
    await this.#closed
  }

  /** Whether this child keeps our event loop alive. */
  #waitFor(wanted: boolean): void {
    for (const one of [this.#child, this.#child.stdin, this.#child.stdout] as ({ ref(): void; unref(): void } | null)[]) {
      if (wanted) one?.ref()
      else one?.unref()
    }
  }
}
