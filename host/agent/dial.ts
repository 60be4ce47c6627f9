import { Duplex } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { Fault } from '@caisson/wire'
import { Data_Channel as Channel } from '@caisson/wire/agent'
import { unending } from '../lifetimes.ts'
import type { AgentConnection } from './connection.ts'
import type { AgentStream } from './stream.ts'

const LOOPBACKS = ['127.0.0.1', '::1']
/** Errors that a second address may fail with because there is no IPv6 inside. */
const NOT_THERE: ReadonlySet<string> = new Set(['NOT_FOUND', 'INTERNAL'])

/** After both sides have ended, how long a program inside may take to read its remaining input. */
const TAIL_MS = 10_000
const LOOK_MS = 10

export interface DialOptions {
  /** True: the end of incoming data leaves the outgoing direction open, as in TCP. */
  readonly allowHalfOpen: boolean
}

/** Connects to a listener on a port inside. Rejects with NOT_FOUND if there is none. The signal applies only until the connection is established. */
export async function dial(connection: AgentConnection, port: number, options: DialOptions, signal: AbortSignal): Promise<Duplex> {
  let refused: Fault | undefined
  for (const host of LOOPBACKS) {
    try {
      return new Dialled(await open(connection, port, host, signal), options)
    } catch (failure) {
      if (!(failure instanceof Fault) || !NOT_THERE.has(failure.code)) throw failure
      refused ??= failure
    }
  }
  throw refused
}

async function open(connection: AgentConnection, port: number, host: string, signal: AbortSignal): Promise<AgentStream> {
  const stream = connection.open({ case: 'dial', value: { port, host } }, { what: `connect to port ${port}` }, signal)
  stream.closed.catch(() => undefined)
  await stream.opened
  stream.outlive()
  return stream
}

/** Passes backpressure on to the program inside: reads from the agent only on demand, and sends only within its credit. */
class Dialled extends Duplex {
  readonly #stream: AgentStream
  readonly #ending = unending()
  #isReading = false

  constructor(stream: AgentStream, { allowHalfOpen }: DialOptions) {
    super({ allowHalfOpen })
    this.#stream = stream
    // A broken connection is noticed even while nobody reads. A reader first gets the data that had arrived.
    stream.closed.catch((failure: Error) => {
      if (!this.#isReading && !stream.hasOutput) this.destroy(failure)
    })
  }

  /** node:http calls this as on a socket: it has the answer and no longer wants the connection. */
  destroySoon(): void {
    this.end(() => this.destroy())
  }

  /** node:http calls this on connections it keeps. This object never keeps the process alive. */
  ref(): this {
    return this
  }

  override _read(): void {
    if (this.#isReading) return
    this.#isReading = true
    void this.#pump()
  }

  override _write(bytes: Uint8Array, _encoding: BufferEncoding, done: (failure?: Error | null) => void): void {
    this.#send(bytes, false, done)
  }

  override _final(done: (failure?: Error | null) => void): void {
    this.#send(new Uint8Array(), true, done)
  }

  override _destroy(failure: Error | null, done: (failure: Error | null) => void): void {
    const giveUp = () => this.#stream.giveUp(new Fault('CANCELLED', 'the host closed the connection', { cause: failure }))
    if (this.readableEnded && this.writableFinished) {
      // All data has been sent, but a slow program may not have read the last of it yet.
      const timer = setTimeout(giveUp, TAIL_MS).unref()
      const stop = () => clearTimeout(timer)
      this.#stream.closed.then(stop, stop)
    } else {
      giveUp()
    }
    done(failure)
  }

  /** Data that the other side no longer takes is dropped: it may have answered before it stopped listening. The reader learns how it ended. */
  #send(bytes: Uint8Array, end: boolean, done: () => void): void {
    this.#stream.send(Channel.TCP, bytes, end, this.#ending).then(done, done)
  }

  /** Lets the reader consume what had arrived, because destroying a stream drops it. */
  async #fail(failure: Error): Promise<void> {
    while (this.readableLength > 0 && !this.destroyed) await pause(LOOK_MS, undefined, { ref: false })
    this.destroy(failure)
  }

  async #pump(): Promise<void> {
    try {
      for (;;) {
        const segment = await this.#stream.take()
        if (segment === undefined) return void this.push(null)
        if (!this.push(segment.bytes)) break
      }
    } catch (failure) {
      await this.#fail(failure as Error)
    } finally {
      this.#isReading = false
    }
  }
}
