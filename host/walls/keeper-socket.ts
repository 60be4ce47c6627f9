import { once } from 'node:events'
import { readlinkSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { basename } from 'node:path'
import { Fault } from '@caisson/wire'
import { cancelled } from '../lifetimes.ts'
import type { Line } from './keeper.ts'
import type { LastWords } from './last-words.ts'

const PROGRAM = 'caisson-keeper'
/** Errors for a process that no longer exists. */
const ENDED: ReadonlySet<string> = new Set(['ENOENT', 'ESRCH'])

/** A keeper that another process started, reached over a socket. */
export class KeeperSocket implements Line {
  readonly #socket: Socket
  /** Set if it was taken from a stock: this is its first host. */
  readonly #words: LastWords | undefined
  /** Called if no keeper of the stock accepted this connection. */
  readonly #unanswered: () => void
  #pid: number | undefined

  private constructor(socket: Socket, words?: LastWords, unanswered: () => void = () => undefined) {
    this.#socket = socket
    this.#words = words
    this.#unanswered = unanswered
  }

  /** A keeper without a plan, from the stock that listens there. `unanswered`: it had to be given up before it said anything. */
  static taken(path: string, words: LastWords, unanswered: () => void): KeeperSocket {
    return new KeeperSocket(connect({ path }), words, unanswered)
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
    // A keeper takes this from its first host as the end of its standard input. For any other host it would close the connection before the keeper's last
    // message.
    if (this.#words !== undefined) this.#socket.end()
  }

  release(): void {
    this.#socket.destroy()
  }

  distrust(): void {
    this.#socket.destroy()
  }

  taken(pid: number): void {
    this.#pid = pid
  }

  kill(): void {
    // If the keeper has ended, its side is closed, and another process may have its pid by now.
    if (this.#socket.closed) return
    if (this.#pid === undefined) this.#unanswered()
    else killKeeper(this.#pid)
    this.#socket.destroy()
  }

  /** The errors of an adopted keeper went to the process that started it. */
  lastWords(): string {
    return this.#words?.read() ?? ''
  }
}

/** Kills only a keeper, even if another process has that pid by now. */
function killKeeper(pid: number): void {
  try {
    if (!basename(readlinkSync(`/proc/${pid}/exe`)).startsWith(PROGRAM)) return
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (!ENDED.has((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}
