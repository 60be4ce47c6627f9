import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Fault } from '@caisson/wire'
import { cancelled } from '../lifetimes.ts'
import type { Line } from './keeper.ts'

/** A keeper that another process started, spoken with over its socket. */
export class KeeperSocket implements Line {
  readonly #socket: Socket

  private constructor(socket: Socket) {
    this.#socket = socket
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
    // Both directions of a socket end at once for the keeper, and its last word is still to be heard.
  }

  release(): void {
    this.#socket.destroy()
  }

  distrust(): void {
    this.#socket.destroy()
  }

  /** They went to whoever started it. */
  lastWords(): string {
    return ''
  }
}
