import { Duplex } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { Fault } from '@caisson/wire'
import { Data_Channel as Channel } from '@caisson/wire/agent'
import { unending } from '../lifetimes.ts'
import type { AgentConnection } from './connection.ts'
import type { AgentStream } from './stream.ts'

const LOOPBACKS = ['127.0.0.1', '::1']
/** What a second address may fail with besides: there is no IPv6 inside. */
const NOT_THERE: ReadonlySet<string> = new Set(['NOT_FOUND', 'INTERNAL'])

/** How long a program inside may take to take what it was sent before both sides ended. */
const TAIL_MS = 10_000
const LOOK_MS = 10

export interface DialOptions {
  /** True: the end of what comes leaves the other way open, as TCP has it. */
  readonly allowHalfOpen: boolean
}

/** A connection to whatever listens on a port inside. Rejects with NOT_FOUND when nothing does. The signal counts until it stands. */
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

/** Backpressure goes through to the program inside: nothing is taken from the agent before somebody reads, nothing is sent beyond its credit. */
class Dialled extends Duplex {
  readonly #stream: AgentStream
  readonly #ending = unending()
  #isReading = false

  constructor(stream: AgentStream, { allowHalfOpen }: DialOptions) {
    super({ allowHalfOpen })
    this.#stream = stream
    // A connection that breaks off while nobody reads is noticed all the same; whoever reads gets first what had come.
    stream.closed.catch((failure: Error) => {
      if (!this.#isReading && !stream.hasOutput) this.destroy(failure)
    })
  }

  /** Asked for by node:http, as of a socket: the answer is there, the connection is not wanted any more. */
  destroySoon(): void {
    this.end(() => this.destroy())
  }

  /** Asked for by node:http of whatever it keeps for later: nothing of this holds the process. */
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
      // All has been said; the last of it may still be on its way to a program that is slow to take it.
      const timer = setTimeout(giveUp, TAIL_MS).unref()
      const stop = () => clearTimeout(timer)
      this.#stream.closed.then(stop, stop)
    } else {
      giveUp()
    }
    done(failure)
  }

  /** What the other side takes no more is dropped: it may have answered before it stopped listening, and the reader learns how it ended. */
  #send(bytes: Uint8Array, end: boolean, done: () => void): void {
    this.#stream.send(Channel.TCP, bytes, end, this.#ending).then(done, done)
  }

  /** What had come before is read first: destroying a stream drops it. */
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
