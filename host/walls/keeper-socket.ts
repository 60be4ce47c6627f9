import { once } from 'node:events'
import { readlinkSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { basename } from 'node:path'
import { Fault } from '@caisson/wire'
import { cancelled } from '../lifetimes.ts'
import type { Line } from './keeper.ts'
import type { LastWords } from './last-words.ts'

const PROGRAM = 'caisson-keeper'
/** What is said of a process that is not there any more. */
const ENDED: ReadonlySet<string> = new Set(['ENOENT', 'ESRCH'])

/** A keeper that another process started, spoken with over a socket. */
export class KeeperSocket implements Line {
  readonly #socket: Socket
  /** What it has been taken with from a stock: this is its first host. */
  readonly #words: LastWords | undefined
  /** Nobody of the stock came to take this connection. */
  readonly #unanswered: () => void
  #pid: number | undefined

  private constructor(socket: Socket, words?: LastWords, unanswered: () => void = () => undefined) {
    this.#socket = socket
    this.#words = words
    this.#unanswered = unanswered
  }

  /** One that has no plan yet, of a stock that listens there. `unanswered`: it had to be given up before it said a word. */
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
    // For a keeper's first host as the end of its standard input. Any other's connection is over for the keeper then, and its last word is still to be heard.
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
    // One that has ended has closed its side: its number may be another's by now.
    if (this.#socket.closed) return
    if (this.#pid === undefined) this.#unanswered()
    else killKeeper(this.#pid)
    this.#socket.destroy()
  }

  /** Those of one that was not taken here went to whoever started it. */
  lastWords(): string {
    return this.#words?.read() ?? ''
  }
}

/** Nothing else is killed, whatever has that number by now. */
function killKeeper(pid: number): void {
  try {
    if (!basename(readlinkSync(`/proc/${pid}/exe`)).startsWith(PROGRAM)) return
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (!ENDED.has((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}
