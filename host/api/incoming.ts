import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { Fault } from '@caisson/wire'
import type { Entered } from '../sandbox/fleet.ts'
import type { Owner } from '../sandbox/record.ts'
import type { ApiRooms, Call, OwnedCall, Visit } from './call.ts'

const NO_PARAMS: Readonly<Record<string, string | undefined>> = Object.freeze({})
const SWITCHING_PROTOCOLS = 101
/** Never sent: it distinguishes "the client disconnected" from an answer in the records. */
const CLIENT_CLOSED_REQUEST = 499

/** A connection that asked to switch to another protocol. */
export interface Upgrade {
  readonly socket: Duplex
  /** The bytes after the head of the request. */
  readonly head: Buffer
  /** The protocol has been switched. */
  accepted(): void
}

/** In request ids, the first part distinguishes daemons, the second requests within one. */
const PROCESS_TAG = randomBytes(4).toString('hex')
let count = 0

/** One request through the front door. What not every request needs is created lazily. */
export class Incoming implements Call {
  readonly rooms: ApiRooms
  readonly request: IncomingMessage
  readonly reply: ServerResponse
  readonly startedMs = performance.now()
  readonly number: number
  params = NO_PARAMS
  /** Pattern of the request's target: a word or a route, never a path. */
  route = 'none'
  /** The connection has switched to another protocol. */
  tunnelled = false
  owner: Owner | undefined
  sandboxId: string | undefined
  #query: URLSearchParams | undefined
  #abort: AbortController | undefined
  #gone: Fault | undefined
  #then: (() => void)[] | undefined
  #isOver = false

  constructor(rooms: ApiRooms, request: IncomingMessage, reply: ServerResponse) {
    this.rooms = rooms
    this.request = request
    this.reply = reply
    count += 1
    this.number = count
  }

  /** The request's id, in the log and in the answer. */
  get id(): string {
    return `${PROCESS_TAG}-${this.number}`
  }

  get query(): URLSearchParams {
    if (this.#query === undefined) {
      const url = this.request.url ?? ''
      const mark = url.indexOf('?')
      this.#query = new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1))
    }
    return this.#query
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController()
      if (this.#gone !== undefined) this.#abort.abort(this.#gone)
    }
    return this.#abort.signal
  }

  /** Nobody waits for an answer any more. */
  abandon(why: string): void {
    if (this.#gone !== undefined) return
    this.#gone = new Fault('CANCELLED', why)
    this.#abort?.abort(this.#gone)
  }

  get isAbandoned(): boolean {
    return this.#gone !== undefined
  }

  /** Called once when the request is over for any reason; at once if it already is. */
  whenOver(then: () => void): void {
    if (this.#isOver) return then()
    this.#then ??= []
    this.#then.push(then)
  }

  /** True only the first time. */
  end(isAnswered: boolean): boolean {
    if (this.#isOver) return false
    this.#isOver = true
    if (!isAnswered) this.abandon('the client has gone')
    for (const then of this.#then ?? []) then()
    return true
  }

  /** The status for logs and metrics. */
  get status(): number {
    if (this.tunnelled) return SWITCHING_PROTOCOLS
    return this.reply.headersSent ? this.reply.statusCode : CLIENT_CLOSED_REQUEST
  }

  ownedBy(owner: Owner): OwnedCall {
    return Object.assign(this, { owner })
  }

  at(entered: Entered, port: number): Visit {
    return Object.assign(this, { entered, port })
  }
}
