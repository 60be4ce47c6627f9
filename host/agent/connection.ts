import { connect, type Socket } from 'node:net'
import { create } from '@bufbuild/protobuf'
import { AGENT_GENERATION, Fault, MAX_STREAMS } from '@caisson/wire'
import { type Data_Channel as Channel, type Frame, type HelloReply, type Open, OpenSchema } from '@caisson/wire/agent'
import { cancelled, onAbort, refuseAborted, settled } from '../lifetimes.ts'
import type { FrameMemory } from './frame-memory.ts'
import { encodeApart, encodeFrame, FrameDecoder, type FrameInit } from './frames.ts'
import { type OperationCase, ruleFor } from './rules.ts'
import { AgentStream, type EventWhat, type OpenedResult } from './stream.ts'

/** Bytes sent but not yet taken by the agent; above this, senders wait (backpressure). */
const MAX_UNSENT_BYTES = 4 * 1024 * 1024
/** Above this, no new operation may start: data of abandoned streams stays queued too, until the agent has taken it. */
const MAX_UNSENT_BEGUN_BYTES = 16 * 1024 * 1024

/** All connections read into the same memory: what one read brought has been decoded, which copies it, before any other read begins. */
const RECEIVED = Buffer.allocUnsafeSlow(256 * 1024)

type OpenInit = NonNullable<Extract<FrameInit['body'], { case: 'open' }>['value']>
export type Operation = NonNullable<OpenInit['operation']> & { case: OperationCase }

export interface OpenOptions {
  /** Names the operation in errors: "read /tmp/a". */
  what: string
  onEvent?: (what: EventWhat) => void
  onData?: (channel: Channel, bytes: number) => void
  undo?: (late: OpenedResult) => NonNullable<FrameInit['body']>
}

/**
 * The single connection to a sandbox's agent, multiplexing many streams over one socket. All input is hostile: anything that the rules of wire/agent.proto do
 * not allow at that moment ends the connection, and nothing is buffered beyond the credit granted.
 */
export class AgentConnection {
  readonly #socket: Socket
  readonly #decoder = new FrameDecoder()
  readonly #streams = new Map<number, AgentStream>()
  readonly #lost = settled<Fault>()
  #failure: Fault | undefined
  #last = 0
  #corked = false
  readonly hello: Promise<HelloReply>

  /** Hello is written at once; other streams need not wait for the answer. */
  private constructor(path: string) {
    const callback = (bytes: number) => {
      this.#receive(RECEIVED.subarray(0, bytes))
      return true
    }
    const socket = connect({ path, onread: { buffer: RECEIVED, callback } })
    this.#socket = socket
    socket.on('drain', () => {
      for (const stream of this.#streams.values()) stream.caughtUp()
    })
    socket.on('error', (cause) => this.#fail(new Fault('AGENT_LOST', `the connection to the agent failed: ${cause.message}`, { cause })))
    socket.on('close', () => this.#fail(new Fault('AGENT_LOST', 'the agent closed the connection')))
    this.hello = this.#greet()
    this.hello.catch(() => undefined)
  }

  /** Writes may start before the socket is connected. Failure to connect counts as loss of the connection. */
  static to(path: string): AgentConnection {
    return new AgentConnection(path)
  }

  /** Why the connection is unusable; undefined while it works. */
  get failure(): Fault | undefined {
    return this.#failure
  }

  /** Resolves, never rejects, with the reason once the connection is unusable. */
  get lost(): Promise<Fault> {
    return this.#lost.promise
  }

  /** To give payloads back to. */
  get memory(): FrameMemory {
    return this.#decoder.memory
  }

  /** Starts an operation. Aborting the signal abandons the stream, now or later. */
  open(operation: Operation, options: OpenOptions, signal: AbortSignal): AgentStream {
    refuseAborted(signal)
    if (this.#failure !== undefined) throw this.#failure
    if (this.#streams.size >= MAX_STREAMS) throw new Fault('UNSUPPORTED', `more than ${MAX_STREAMS} operations at once in one sandbox`)
    if (this.#socket.writableLength > MAX_UNSENT_BEGUN_BYTES) throw new Fault('UNSUPPORTED', 'the sandbox does not take what it is sent')
    const message = create(OpenSchema, { operation } as OpenInit)
    this.#last += 1
    const id = this.#last
    let stop: () => void = () => undefined
    const forget = () => {
      stop()
      this.#streams.delete(id)
    }
    const rule = ruleFor(message.operation as Open['operation'] & { case: OperationCase })
    const write = (body: NonNullable<FrameInit['body']>, stays = false) => this.#write({ stream: id, body }, stays)
    const isBehind = () => this.#socket.writableLength > MAX_UNSENT_BYTES
    const stream = new AgentStream({ ...options, rule, write, isBehind, forget, outlive: () => stop() })
    write({ case: 'open', value: message })
    this.#streams.set(id, stream)
    stop = onAbort(signal, () => stream.giveUp(cancelled(signal)))
    return stream
  }

  close(): void {
    this.#fail(new Fault('AGENT_LOST', 'the connection was closed by the host'))
  }

  async #greet(): Promise<HelloReply> {
    const signal = new AbortController().signal
    const stream = this.open({ case: 'hello', value: { generation: AGENT_GENERATION } }, { what: 'hello' }, signal)
    const { value } = (await stream.opened) as Extract<OpenedResult, { case: 'hello' }>
    if (value.generation === 0 || value.generation > AGENT_GENERATION) {
      const failure = new Fault('WIRE_VIOLATION', `the agent speaks generation ${value.generation}, not ${AGENT_GENERATION}`)
      this.#fail(failure)
      throw failure
    }
    return value
  }

  #receive(chunk: Uint8Array): void {
    if (this.#failure !== undefined) return
    try {
      for (const frame of this.#decoder.push(chunk)) {
        this.#dispatch(frame)
        if (this.#failure !== undefined) return
      }
    } catch (cause) {
      this.#fail(cause instanceof Fault ? cause : new Fault('INTERNAL', 'a frame could not be handled', { cause }))
    }
  }

  #dispatch(frame: Frame): void {
    const stream = this.#streams.get(frame.stream)
    if (stream === undefined) throw new Fault('WIRE_VIOLATION', 'the agent spoke on a stream that is not open')
    stream.receive(frame.body)
  }

  /** Frames of one turn of the event loop are sent in one write. `stays`: the payload will not be modified any more. */
  #write(frame: FrameInit, stays: boolean): void {
    if (this.#failure !== undefined) return
    const pieces = (stays ? encodeApart(frame) : undefined) ?? [encodeFrame(frame)]
    if (!this.#corked) {
      this.#corked = true
      this.#socket.cork()
      process.nextTick(() => {
        this.#corked = false
        this.#socket.uncork()
      })
    }
    for (const piece of pieces) this.#socket.write(piece)
  }

  #fail(failure: Fault): void {
    if (this.#failure !== undefined) return
    this.#failure = failure
    this.#socket.destroy()
    for (const stream of this.#streams.values()) stream.lose(failure)
    this.#streams.clear()
    this.#lost.resolve(failure)
  }
}
