import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { Fault } from '@caisson/wire'
import type { Entered } from '../sandbox/fleet.ts'
import type { Owner } from '../sandbox/record.ts'
import type { ApiRooms, Call, OwnedCall, Visit } from './call.ts'

const NO_PARAMS: Readonly<Record<string, string | undefined>> = Object.freeze({})
const SWITCHING_PROTOCOLS = 101
/** Nobody reads it: it tells "the client went away" from an answer. */
const CLIENT_CLOSED_REQUEST = 499

/** A connection that asked to speak another protocol from now on. */
export interface Upgrade {
  readonly socket: Duplex
  /** What came after the head of the request. */
  readonly head: Buffer
  /** It does from now on. */
  accepted(): void
}

/** Ids of requests are told apart across daemons by the first part, within one by the second. */
const PROCESS_TAG = randomBytes(4).toString('hex')
let count = 0

/** One request on its way through the door. What not every request needs is made when it is first asked for. */
export class Incoming implements Call {
  readonly rooms: ApiRooms
  readonly request: IncomingMessage
  readonly reply: ServerResponse
  readonly startedMs = performance.now()
  readonly number: number
  params = NO_PARAMS
  /** Pattern of what was asked for: a word or a route, never a path. */
  route = 'none'
  /** The connection speaks another protocol now. */
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

  /** Of this request, in the log and beside what its caller was told. */
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

  /** Called once when it is over, however that came; at once if it is already. */
  whenOver(then: () => void): void {
    if (this.#isOver) return then()
    this.#then ??= []
    this.#then.push(then)
  }

  /** True the first time. */
  end(isAnswered: boolean): boolean {
    if (this.#isOver) return false
    this.#isOver = true
    if (!isAnswered) this.abandon('the client has gone')
    for (const then of this.#then ?? []) then()
    return true
  }

  /** As it counts in logs and metrics. */
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
