import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Fault } from '@caisson/wire'
import { cancelled } from '../lifetimes.ts'
import type { Line } from './keeper.ts'
import type { LastWords } from './last-words.ts'

/** A keeper that another process started, spoken with over a socket. */
export class KeeperSocket implements Line {
  readonly #socket: Socket
  /** What it has been taken with from a stock: this is its first host. */
  readonly #words: LastWords | undefined

  private constructor(socket: Socket, words?: LastWords) {
    this.#socket = socket
    this.#words = words
  }

  /** One that has no plan yet, of a stock that listens there. */
  static taken(path: string, words: LastWords): KeeperSocket {
    return new KeeperSocket(connect({ path }), words)
  }

  /** Rejects with SANDBOX_GONE when nobody listens there. */
  static async to(path: string, signal: AbortSignal): Promise<KeeperSocket> {
    const socket = connect({ path })
    try {
      await once(socket, 'connect', { signal })
      return new KeeperSocket(socket)
    } catch (cause) {
      socket.destroy()
      if (signal.aborted) throw cancelled(signal)
      throw new Fault('SANDBOX_GONE', `no keeper answers at ${path}`, { cause })
    }
  }

  listen(heard: (chunk: Buffer) => void, over: (detail: string, cause?: unknown) => void): void {
    let failure: Error | undefined
    this.#socket.on('error', (cause) => {
      failure = cause
    })
    this.#socket.on('data', heard)
    this.#socket.on('close', () => over('the keeper ended without a word', failure))
  }

  write(text: string): void {
    this.#socket.write(text)
  }

  end(): void {
    // For a keeper's first host as the end of its standard input. Any other's connection is over for the keeper then, and its last word is still to be heard.
    if (this.#words !== undefined) this.#socket.end()
  }

  release(): void {
    this.#socket.destroy()
  }

  distrust(): void {
    this.#socket.destroy()
  }

  /** Those of one that was not taken here went to whoever started it. */
  lastWords(): string {
    return this.#words?.read() ?? ''
  }
}
