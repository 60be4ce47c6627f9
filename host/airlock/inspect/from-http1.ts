import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex, Writable } from 'node:stream'
import type { Field, Question, Reply } from './exchange.ts'
import { endToEnd, fieldsOf, rawOf, valuesOf, without } from './fields.ts'

export const MAX_HEAD_BYTES = 32 * 1024
const HEAD_MS = 15_000
/** Idle time between two requests. */
const REST_MS = 60_000
/** Pipelined requests waiting for answers; HTTP/2 allows as many concurrent streams. Node itself has no limit. */
const MAX_WAITING = 100

/** The receiver of HTTP/1.1 requests of one connection. */
export interface Http1Asker {
  readonly scheme: 'http' | 'https'
  asked(question: Question, reply: Reply): void
  /** A WebSocket if permitted: its frames follow on `socket`, beginning with `head`. */
  upgraded(question: Question, reply: Reply, socket: Duplex, head: Buffer): void
  /** The connection was ended because more than `waiting` requests would have been pending. */
  crowded(waiting: number): void
}

/** Parses HTTP/1.1 as strictly as Node does. An ambiguous request ends its connection. */
export class Http1Askers {
  readonly #askers = new WeakMap<object, Http1Asker>()
  readonly #waiting = new WeakMap<object, number>()
  readonly #server: Server

  constructor() {
    this.#server = createServer({
      insecureHTTPParser: false,
      maxHeaderSize: MAX_HEAD_BYTES,
      headersTimeout: HEAD_MS,
      requestTimeout: 0,
      keepAliveTimeout: REST_MS,
      requireHostHeader: true,
    })
    const serve = (request: IncomingMessage, response: ServerResponse) => {
      const asker = this.#askers.get(request.socket)
      if (asker === undefined) return void request.socket.destroy()
      if (!this.#mayWait(request, response, asker)) return
      const question = questionOf(request, asker.scheme)
      if (question === undefined) return refuseRequest(response)
      asker.asked(question, new Http1Reply(response))
    }
    this.#server.on('request', serve).on('checkContinue', serve).on('checkExpectation', serve)
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => this.#upgrade(request, socket, head))
    this.#server.on('connect', (_: IncomingMessage, socket: Duplex) => socket.destroy())
    this.#server.on('clientError', (_: Error, socket: Duplex) => {
      if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n')
      else socket.destroy()
    })
  }

  /** Takes over the connection; anything already received must be in its buffer. */
  take(socket: Socket, asker: Http1Asker): void {
    this.#askers.set(socket, asker)
    this.#server.emit('connection', socket)
    socket.resume()
  }

  close(): void {
    this.#server.close()
  }

  #mayWait({ socket }: IncomingMessage, response: ServerResponse, asker: Http1Asker): boolean {
    const waiting = (this.#waiting.get(socket) ?? 0) + 1
    if (waiting > MAX_WAITING) {
      if (!socket.destroyed) asker.crowded(MAX_WAITING)
      socket.destroy()
      return false
    }
    this.#waiting.set(socket, waiting)
    response.on('close', () => this.#waiting.set(socket, (this.#waiting.get(socket) ?? 1) - 1))
    return true
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const asker = this.#askers.get(request.socket)
    const response = new ServerResponse(request)
    response.assignSocket(request.socket)
    response.shouldKeepAlive = false
    response.on('finish', () => socket.end())
    // Node no longer handles this socket.
    socket.on('error', () => socket.destroy()).on('drain', () => response.emit('drain'))
    const question = asker === undefined ? undefined : questionOf(request, asker.scheme)
    if (asker === undefined || question === undefined) return refuseRequest(response)
    if (request.headers.upgrade?.toLowerCase() === 'websocket' && request.method === 'GET') {
      return asker.upgraded(question, new Http1Reply(response), socket, head)
    }
    // An unwanted upgrade may be ignored. But data that Node has not read as a body must not be taken for one.
    if (question.body !== null || head.length > 0) return refuseRequest(response)
    asker.asked(question, new Http1Reply(response))
  }
}

/** Undefined: the target is missing or ambiguous. */
function questionOf(request: IncomingMessage, scheme: 'http' | 'https'): Question | undefined {
  const fields = fieldsOf(request.rawHeaders)
  const hosts = valuesOf(fields, 'host')
  if (hosts.length > 1 || valuesOf(fields, 'content-length').length > 1 || valuesOf(fields, 'transfer-encoding').length > 1)
    return undefined
  const place = placeOf(request.url ?? '', scheme)
  const [host] = hosts
  if (place === undefined || (place.authority !== null && host !== undefined && place.authority.toLowerCase() !== host.toLowerCase()))
    return undefined
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers
  return {
    version: 1,
    method: request.method ?? '',
    scheme,
    authority: place.authority ?? host ?? null,
    path: place.path,
    fields: without(endToEnd(fields), 'host'),
    body: coding === undefined && (length === undefined || length === '0') ? null : request,
    isWhole: () => request.complete,
    trailers: () => fieldsOf(request.rawTrailers),
  }
}

/** A path, or an absolute URL as sent to proxies. Undefined: neither. */
function placeOf(target: string, scheme: string): { authority: string | null; path: string } | undefined {
  if (target.startsWith('/') || target === '*') return { authority: null, path: target }
  const [, said, authority, path] = /^([a-z]+):\/\/([^/?#@]+)([/?][^#]*)?$/i.exec(target) ?? []
  if (said?.toLowerCase() !== scheme || authority === undefined) return undefined
  return { authority, path: path === undefined ? '/' : path.startsWith('?') ? `/${path}` : path }
}

function refuseRequest(response: ServerResponse): void {
  response.writeHead(400, { connection: 'close' }).end()
}

class Http1Reply implements Reply {
  readonly #response: ServerResponse
  #isLetGo = false

  constructor(response: ServerResponse) {
    this.#response = response
    response.on('error', () => response.destroy())
  }

  get isBegun(): boolean {
    return this.#isLetGo || this.#response.headersSent
  }

  inform(status: number, fields: readonly Field[]): void {
    if (this.isBegun) return
    if (status === 100) return this.#response.writeContinue()
    if (status === 102) return this.#response.writeProcessing()
    const link = valuesOf(fields, 'link')
    if (status === 103 && link.length > 0) this.#response.writeEarlyHints({ link })
  }

  begin(status: number, fields: readonly Field[]): Writable {
    this.#response.writeHead(status, rawOf(fields))
    // Sent together with the first bytes of the body, unless those take long.
    setImmediate(() => this.#response.flushHeaders())
    return this.#response
  }

  finish(trailers: readonly Field[]): void {
    if (trailers.length > 0) this.#response.addTrailers(trailers.map(([name, value]): [string, string] => [name, value]))
    this.#response.end()
  }

  letGo(): void {
    const { socket } = this.#response
    this.#isLetGo = true
    if (socket !== null) this.#response.detachSocket(socket)
  }

  breakOff(): void {
    this.#response.destroy()
  }

  onGone(then: () => void): void {
    this.#response.on('close', () => {
      if (!this.#response.writableFinished) then()
    })
  }
}
