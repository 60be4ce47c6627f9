import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http'
import type { AddressInfo, Server as Listener, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { Fault, IDLE_CONNECTION_MS, MAX_HEAD_BYTES } from '@caisson/wire'
import type { Identity } from '../authority/identity.ts'
import { orAborted, refuseAborted, settled } from '../lifetimes.ts'
import { failureFields } from '../telemetry/log.ts'
import { DAEMON_STOPS } from './call.ts'
import { Connections } from './connections.ts'
import { Dispatch } from './dispatch.ts'
import { Incoming, type Upgrade } from './incoming.ts'
import { listenBoth } from './listener.ts'
import { OpenRequests } from './open-requests.ts'
import type { Parts } from './parts.ts'
import { PortProxy } from './ports/proxy.ts'
import { refuseMalformed } from './refusals.ts'
import { resetConnection } from './reset.ts'
import { UpgradableRequest } from './upgradable.ts'

export interface ServerOptions {
  readonly host: string
  /** 0: any that is free. */
  readonly port: number
  /** TLS and plain HTTP on the same port, the latter from this machine only; absent: plain HTTP. */
  readonly tls?: Identity
  /** How long requests under way may go on after `close`. */
  readonly drainMs: number
  readonly patience?: Patience
}

/** How long slow clients are waited for. */
export interface Patience {
  readonly headMs: number
  /** For bodies that are read whole before they are acted on; those that stream take their time. */
  readonly bodyMs: number
  /** With clients that still send when they have been answered: long enough to read the answer, which a reset would take away. */
  readonly lingerMs: number
  readonly sweepMs: number
}

const PATIENCE: Patience = { headMs: 20_000, bodyMs: 60_000, lingerMs: 5_000, sweepMs: 5_000 }
const KEEP_ALIVE_PROBE_MS = 60_000
const BACKLOG = 4096
/** Of one connection, unanswered. */
const MAX_PIPELINED = 64

/** The one port of a daemon. */
export class FrontDoor implements AsyncDisposable {
  readonly #parts: Parts
  readonly #options: ServerOptions
  readonly #patience: Patience
  readonly #server: Server
  readonly #dispatch: Dispatch
  readonly #connections = new Connections()
  readonly #live = new Set<Incoming>()
  /** Of each connection: Node tells only the oldest of its requests that it has closed. */
  readonly #carried = new WeakMap<Socket, Set<Incoming>>()
  readonly #sweeper: NodeJS.Timeout
  readonly #closing = new AbortController()
  #listener: Listener | undefined
  #idle: (() => void) | undefined
  #closed: Promise<void> | undefined

  private constructor(parts: Parts, options: ServerOptions) {
    this.#parts = parts
    this.#options = options
    this.#patience = options.patience ?? PATIENCE
    this.#dispatch = new Dispatch(parts, new PortProxy(parts), new OpenRequests(this.#connections))
    this.#server = createServer({
      IncomingMessage: UpgradableRequest,
      maxHeaderSize: MAX_HEAD_BYTES,
      // Whatever node was started with.
      insecureHTTPParser: false,
      headersTimeout: this.#patience.headMs,
      requestTimeout: 0,
      keepAliveTimeout: IDLE_CONNECTION_MS,
      connectionsCheckingInterval: this.#patience.sweepMs,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS,
    })
    // The size of the head bounds their number; Node's own limit drops headers in silence.
    this.#server.maxHeadersCount = 0
    this.#server.timeout = IDLE_CONNECTION_MS
    this.#server.on('request', (request: IncomingMessage, reply: ServerResponse) => this.#receive(request, reply))
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => this.#receiveUpgrade(request, socket, head))
    this.#server.on('connect', (_request, socket: Duplex) => refuseMalformed(socket, 405, 'CONNECT is not offered'))
    this.#server.on('clientError', (failure: NodeJS.ErrnoException, socket: Duplex) => this.#receiveMalformed(failure, socket))
    this.#sweeper = setInterval(() => this.#sweep(), this.#patience.sweepMs).unref()
    parts.telemetry.meters.gauge('requests_live', 'Requests under way', 'kind', () => ({ all: this.#live.size }))
  }

  /** Listens when it resolves. Rejects with ADDRESS_UNUSABLE. */
  static async open(parts: Parts, options: ServerOptions, signal: AbortSignal): Promise<FrontDoor> {
    refuseAborted(signal)
    const door = new FrontDoor(parts, options)
    try {
      await orAborted(door.#listen(), signal)
    } catch (failure) {
      await door.close()
      throw failure
    }
    return door
  }

  get port(): number {
    const address = this.#listener?.address() as AddressInfo | undefined
    return address?.port ?? 0
  }

  /** Takes no more, lets what is under way come to its end within the time, breaks off the rest. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #listen(): Promise<void> {
    const { host, port, tls } = this.#options
    const listener = tls === undefined ? this.#server : listenBoth(this.#server, tls, this.#closing.signal)
    this.#listener = listener
    listener.on('connection', (socket: Socket) => this.#connections.add(socket))
    const listening = settled<void>()
    listener.on('error', (cause: NodeJS.ErrnoException) => {
      // Later ones are of connections that could not be taken: no reason to end.
      if (listener.listening) this.#parts.telemetry.log.error(failureFields(cause), 'a connection could not be taken')
      const why = cause.code === 'EADDRINUSE' ? 'something else listens there' : cause.message
      listening.reject(new Fault('ADDRESS_UNUSABLE', `${host}:${port}: ${why}`, { cause }))
    })
    listener.listen({ host, port, backlog: BACKLOG }, () => listening.resolve())
    return listening.promise
  }

  #receive(request: IncomingMessage, reply: ServerResponse): void {
    const { socket } = request
    // It has been told that nothing more is read.
    if (socket.writableEnded) return
    if (!isFramed(request)) return refuseMalformed(socket, 400, 'Transfer-Encoding: only chunked is taken')
    const carried = this.#carried.get(socket) ?? this.#carry(socket)
    if (carried.size >= MAX_PIPELINED) return resetConnection(socket)
    const call = new Incoming(this.#parts.rooms, request, reply)
    carried.add(call)
    reply.once('close', () => {
      carried.delete(call)
      this.#end(call, reply.writableFinished)
      if (!request.complete) linger(request, socket, this.#patience.lingerMs)
    })
    this.#begin(call, undefined)
  }

  #carry(socket: Socket): Set<Incoming> {
    const carried = new Set<Incoming>()
    this.#carried.set(socket, carried)
    socket.once('close', () => {
      for (const call of carried) this.#end(call, false)
    })
    return carried
  }

  #receiveUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Whatever comes of it, this connection carries no other request.
    const reply = new ServerResponse(request)
    reply.shouldKeepAlive = false
    reply.assignSocket(socket as Socket)
    const call = new Incoming(this.#parts.rooms, request, reply)
    reply.once('finish', () => {
      socket.end()
      // Nobody reads from it any more, and so its end would not be noticed.
      setTimeout(() => socket.destroy(), this.#patience.lingerMs).unref()
    })
    socket.on('error', () => socket.destroy())
    socket.once('close', () => this.#end(call, reply.writableFinished || call.tunnelled))
    const accepted = () => {
      call.tunnelled = true
    }
    this.#begin(call, { socket, head, accepted })
  }

  #begin(call: Incoming, upgrade: Upgrade | undefined): void {
    // A write after the client has gone is no news: its end is recorded below.
    call.reply.on('error', () => call.abandon('the client has gone'))
    this.#live.add(call)
    if (this.#closed !== undefined) call.reply.shouldKeepAlive = false
    this.#dispatch.answer(call, upgrade).catch((failure: unknown) => {
      this.#parts.telemetry.log.error({ request: call.id, ...failureFields(failure) }, 'a failure could not be told')
      resetConnection(call.request.socket)
    })
  }

  #end(call: Incoming, isAnswered: boolean): void {
    if (!call.end(isAnswered)) return
    this.#live.delete(call)
    if (this.#idle !== undefined && this.#isQuiet) this.#idle()
    const { log, meters } = this.#parts.telemetry
    const { route, status } = call
    const method = call.request.method ?? ''
    const ms = performance.now() - call.startedMs
    meters.request({ method, route, status, seconds: ms / 1000 })
    const about = { request: call.id, method, route, status, ms: Math.round(ms * 100) / 100 }
    log.info({ ...about, owner: call.owner?.name, sandbox: call.sandboxId }, 'request')
  }

  #receiveMalformed(failure: NodeJS.ErrnoException, socket: Duplex): void {
    for (const { request, reply } of this.#live) {
      // In the middle of an answer nothing can be said any more.
      if (request.socket === socket && reply.headersSent) return void socket.destroy()
    }
    if (failure.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
    this.#parts.telemetry.meters.failure('BAD_REQUEST')
    if (failure.code === 'HPE_HEADER_OVERFLOW') refuseMalformed(socket, 431, `the headers take more than ${MAX_HEAD_BYTES} bytes`)
    else if (failure.code === 'ERR_HTTP_REQUEST_TIMEOUT') refuseMalformed(socket, 408, 'the request did not come in time')
    else refuseMalformed(socket, 400, 'the request is not valid HTTP/1.1')
  }

  /** Requests that are to be read whole before they are acted on, and do not come. */
  #sweep(): void {
    const now = performance.now()
    for (const { request, reply, sandboxId, startedMs } of this.#live) {
      if (sandboxId !== undefined || request.complete || now - startedMs < this.#patience.bodyMs) continue
      if (reply.headersSent) request.destroy()
      else refuseMalformed(request.socket, 408, 'the body did not come in time')
    }
  }

  async #close(): Promise<void> {
    const over = settled<void>()
    this.#closing.abort()
    if (this.#listener?.listening === true) this.#listener.close(() => over.resolve())
    else over.resolve()
    this.#server.closeIdleConnections()
    for (const { reply } of this.#live) reply.shouldKeepAlive = false
    if (!this.#isQuiet) await this.#drain()
    clearInterval(this.#sweeper)
    for (const call of this.#live) {
      call.abandon(DAEMON_STOPS)
      resetConnection(call.request.socket)
    }
    this.#server.closeAllConnections()
    this.#server.close()
    await over.promise
  }

  /** A tunnel has no end of its own that one could wait for. */
  get #isQuiet(): boolean {
    for (const { tunnelled } of this.#live) if (!tunnelled) return false
    return true
  }

  async #drain(): Promise<void> {
    const idle = settled<void>()
    const enough = new AbortController()
    this.#idle = () => idle.resolve()
    await Promise.race([idle.promise, pause(this.#options.drainMs, undefined, { signal: enough.signal })])
    enough.abort()
  }
}

/** A body that is coded in another way as well ends where some say that it does, and others do not. */
function isFramed({ headers }: IncomingMessage): boolean {
  const codings = headers['transfer-encoding']
  return codings === undefined || codings.trim().toLowerCase() === 'chunked'
}

function linger(request: IncomingMessage, socket: Socket, ms: number): void {
  setTimeout(() => {
    if (!request.complete) socket.destroy()
  }, ms).unref()
}
