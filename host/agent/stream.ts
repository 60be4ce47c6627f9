import { Fault, INITIAL_WINDOW_BYTES, MAX_DATA_BYTES } from '@caisson/wire'
import type { Data_Channel as Channel, Close, Control, Data, Event, Frame, Opened } from '@caisson/wire/agent'
import { onAbort, refuseAborted, settled } from '../lifetimes.ts'
import { Backlog, type Segment } from './backlog.ts'
import { closeFault, isCloseCode } from './close-code.ts'
import type { FrameInit } from './frames.ts'
import type { Rule } from './rules.ts'

/** Credit is returned in pieces of this size, often enough that a sender never waits for a reader that keeps up. */
const RETURN_BYTES = INITIAL_WINDOW_BYTES / 4

export type OpenedResult = Opened['result']
export type EventWhat = Event['what']
type Body = NonNullable<FrameInit['body']>

export interface StreamOptions {
  rule: Rule
  /** Names the operation in error messages. */
  what: string
  write: (body: Body, stays?: boolean) => void
  /** The agent does not read what it was sent. Credit limits the unread data of one stream; this limits that of all streams. */
  isBehind: () => boolean
  /** Called once, when the agent has closed the stream or the connection is lost. */
  forget: () => void
  /** Detaches the stream from the signal that it was opened with. Idempotent. */
  outlive: () => void
  onEvent?: (what: EventWhat) => void
  /** Sees every payload as it arrives, before anyone reads it. */
  onData?: (channel: Channel, bytes: number) => void
  /** The agent carried out an operation that the host had already abandoned: returns the message that undoes it, after which the agent closes the stream. */
  undo?: (late: OpenedResult) => Body
}

/** One operation on the agent connection. `take` is for a single reader. */
export class AgentStream {
  readonly #options: StreamOptions
  readonly #opened = settled<OpenedResult>()
  readonly #closed = settled<Close>()
  readonly #backlog = new Backlog<Channel>()
  readonly #ended = new Set<Channel>()
  #isOpened = false
  #isClosed = false
  /** Why the stream yields nothing more: the connection is lost, or the host abandoned the stream. */
  #failure: Fault | undefined
  #givenUp = false
  #receiveCredit = INITIAL_WINDOW_BYTES
  #toReturn = 0
  #sendCredit = INITIAL_WINDOW_BYTES
  #turn: Promise<void> = Promise.resolve()
  #wake: (() => void)[] = []

  constructor(options: StreamOptions) {
    this.#options = options
  }

  /** The agent's answer. Rejects with the error in its Close, or with the loss of the connection. */
  get opened(): Promise<OpenedResult> {
    return this.#opened.promise
  }

  /** Resolves with a successful Close, rejects otherwise. */
  get closed(): Promise<Close> {
    return this.#closed.promise
  }

  /** The next received piece, from any channel; undefined after the last one. Rejects if the stream failed. */
  async take(): Promise<Segment<Channel> | undefined> {
    for (;;) {
      const segment = this.#givenUp ? undefined : this.#backlog.take()
      if (segment !== undefined) {
        this.#giveBack(segment.bytes.length)
        return segment
      }
      if (this.#options.rule.halves === true && this.#ended.size > 0) return undefined
      if (this.#failure !== undefined) throw this.#failure
      if (this.#isClosed) {
        await this.#closed.promise
        return undefined
      }
      await this.#change()
    }
  }

  /** True if `take` would return a piece at once. */
  get hasOutput(): boolean {
    return this.#backlog.bytes > 0
  }

  /**
   * Resolves when all of it has been sent; waits while there is no credit. Calls are serialised. `stays`: the bytes will not be modified later, so they need
   * not be copied.
   */
  send(channel: Channel, bytes: Uint8Array, end: boolean, signal: AbortSignal, stays = false): Promise<void> {
    const turn = this.#turn.then(() => this.#send(channel, bytes, end, signal, stays))
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  control(action: Control['action']): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#isClosed) throw new Fault('NOT_FOUND', `${this.#options.what}: it has ended`)
    this.#options.write({ case: 'control', value: { action } as Control })
  }

  /** From now on the stream lives until it ends, regardless of the signal that it was opened with. */
  outlive(): void {
    this.#options.outlive()
  }

  /** Abandons the stream. Anything that the agent still sends is dropped. */
  giveUp(failure: Fault): void {
    if (this.#isClosed || this.#failure !== undefined) return
    this.#givenUp = true
    this.#fail(failure)
    if (this.#isOpened || this.#options.undo === undefined) this.#sayClose()
  }

  /** The agent has read everything that it was sent. */
  caughtUp(): void {
    this.#changed()
  }

  /** The connection is lost. */
  lose(failure: Fault): void {
    if (this.#isClosed) return
    this.#options.forget()
    this.#fail(this.#failure ?? failure)
  }

  /** Handles a frame of this stream. Throws WIRE_VIOLATION. */
  receive(body: Frame['body']): void {
    switch (body.case) {
      case 'opened':
        return this.#receiveOpened(body.value.result)
      case 'data':
        return this.#receiveData(body.value)
      case 'window':
        return this.#receiveWindow(body.value.bytes)
      case 'event':
        return this.#receiveEvent(body.value.what)
      case 'close':
        return this.#receiveClose(body.value)
      default:
        throw this.#violation(`a frame of kind ${body.case ?? 'unknown'}`)
    }
  }

  #receiveOpened(result: OpenedResult): void {
    if (this.#isOpened || result.case !== this.#options.rule.opened) throw this.#violation(`Opened with ${result.case ?? 'nothing'}`)
    this.#isOpened = true
    if (!this.#givenUp) this.#opened.resolve(result)
    else if (this.#options.undo !== undefined) this.#options.write(this.#options.undo(result))
  }

  #receiveData(data: Data): void {
    const { channel, payload } = data
    if (!this.#isOpened) throw this.#violation('Data before Opened')
    if (!this.#options.rule.channels.includes(channel)) throw this.#violation(`Data on channel ${channel}`)
    if (this.#ended.has(channel)) throw this.#violation('Data after the end of its channel')
    if (payload.length > MAX_DATA_BYTES) throw this.#violation(`Data of ${payload.length} bytes`)
    if (payload.length === 0 && !data.end) throw this.#violation('Data without anything in it')
    if (payload.length > this.#receiveCredit) throw this.#violation('more Data than it had credit for')
    this.#receiveCredit -= payload.length
    if (data.end) this.#ended.add(channel)
    // The payload is dropped, but its credit is returned: a stream that is being undone must not stall before its end.
    if (this.#givenUp && this.#options.undo !== undefined) this.#giveBack(payload.length)
    if (this.#givenUp) return
    if (payload.length === 0) return this.#changed()
    this.#backlog.push(channel, payload, Number(data.atUs))
    this.#options.onData?.(channel, payload.length)
    this.#changed()
  }

  #receiveWindow(bytes: number): void {
    // An honest agent returns only credit that was used, so credit never exceeds its initial value.
    if (bytes === 0 || this.#sendCredit + bytes > INITIAL_WINDOW_BYTES) throw this.#violation(`a Window of ${bytes} bytes`)
    this.#sendCredit += bytes
    this.#changed()
  }

  #receiveEvent(what: EventWhat): void {
    if (!this.#isOpened || what.case === undefined || what.case !== this.#options.rule.event) {
      throw this.#violation(`an Event of kind ${what.case ?? 'unknown'}`)
    }
    if (!this.#givenUp) this.#options.onEvent?.(what)
  }

  #receiveClose(close: Close): void {
    if (!isCloseCode(close.code)) throw this.#violation('a Close with an unknown code')
    if (close.code === '' && !this.#isOpened) throw this.#violation('a Close that says success before Opened')
    this.#isClosed = true
    this.#options.forget()
    if (close.code === '') {
      this.#closed.resolve(close)
    } else {
      const failure = closeFault(close, this.#options.what)
      this.#opened.reject(failure)
      this.#closed.reject(failure)
    }
    this.#changed()
  }

  async #send(channel: Channel, bytes: Uint8Array, end: boolean, signal: AbortSignal, stays: boolean): Promise<void> {
    let rest = bytes
    const stop = onAbort(signal, () => this.#changed())
    try {
      for (;;) {
        refuseAborted(signal)
        if (this.#failure !== undefined) throw this.#failure
        if (this.#isClosed) throw new Fault('NOT_FOUND', `${this.#options.what}: it has ended`)
        const length = this.#options.isBehind() ? 0 : Math.min(rest.length, this.#sendCredit, MAX_DATA_BYTES)
        const last = length === rest.length
        if (length > 0 || (last && end)) {
          const payload = rest.subarray(0, length) as Uint8Array<ArrayBuffer>
          this.#options.write({ case: 'data', value: { channel, payload, end: last && end } }, stays)
          this.#sendCredit -= length
          rest = rest.subarray(length)
        }
        if (last) return
        if (this.#sendCredit === 0 || this.#options.isBehind()) await this.#change()
      }
    } finally {
      stop()
    }
  }

  #giveBack(bytes: number): void {
    this.#toReturn += bytes
    if (this.#toReturn < RETURN_BYTES || this.#isClosed) return
    this.#options.write({ case: 'window', value: { bytes: this.#toReturn } })
    this.#receiveCredit += this.#toReturn
    this.#toReturn = 0
  }

  #sayClose(): void {
    this.#options.write({ case: 'close', value: { code: 'cancelled', message: '' } })
  }

  #fail(failure: Fault): void {
    this.#failure = failure
    if (this.#givenUp) this.#backlog.clear()
    this.#opened.reject(failure)
    this.#closed.reject(failure)
    this.#changed()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve))
  }

  #changed(): void {
    const waiting = this.#wake
    this.#wake = []
    for (const wake of waiting) wake()
  }

  #violation(what: string): Fault {
    return new Fault('WIRE_VIOLATION', `the agent sent ${what} (${this.#options.what})`)
  }
}
