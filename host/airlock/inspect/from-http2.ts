import { constants, type IncomingHttpHeaders, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import type { Field, Question, Reply } from './exchange.ts'
import { endToEnd, fieldsOf, listed, valuesOf, without } from './fields.ts'
import { MAX_HEAD_BYTES } from './from-http1.ts'
import { sayTrailers } from './trailers.ts'

const MAX_STREAMS = 100
/** Flow-control window of a stream and of a connection, and hence the limit on unread data for each. */
const WINDOW_BYTES = 256 * 1024
const MAX_SESSION_MIB = 4
/** Idle time without a request. */
const REST_MS = 60_000

/** Reads HTTP/2 from a connection, after ALPN has selected it. */
export function askInHttp2(socket: Socket, scheme: 'http' | 'https', asked: (question: Question, reply: Reply) => void): void {
  const session: ServerHttp2Session = performServerHandshake(socket, {
    maxSessionMemory: MAX_SESSION_MIB,
    settings: {
      maxConcurrentStreams: MAX_STREAMS,
      initialWindowSize: WINDOW_BYTES,
      maxHeaderListSize: MAX_HEAD_BYTES,
      enablePush: false,
      enableConnectProtocol: false,
    },
  })
  session.on('error', () => session.destroy())
  session.setTimeout(REST_MS, () => session.close())
  session.on('stream', (stream: ServerHttp2Stream, headers: Parameters<typeof questionOf>[1], _flags: number, raw: string[]) => {
    stream.on('error', () => stream.destroy())
    // The client cancelled it before Node reported it; responding would throw.
    if (stream.closed || stream.destroyed) return
    const question = questionOf(stream, headers, fieldsOf(raw), scheme)
    if (question === undefined) return stream.respond({ [constants.HTTP2_HEADER_STATUS]: 400 }, { endStream: true })
    asked(question, new Http2Reply(stream, headers))
  })
}

function questionOf(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders & { ':method'?: string; ':authority'?: string; ':path'?: string; ':scheme'?: string },
  said: readonly Field[],
  scheme: 'http' | 'https',
): Question | undefined {
  const hosts = valuesOf(said, 'host')
  const authority = headers[':authority'] ?? hosts[0]
  const path = headers[':path']
  const isPlain = authority !== undefined && path !== undefined && (path.startsWith('/') || path === '*') && headers[':scheme'] === scheme
  if (!isPlain || hosts.some((host) => host.toLowerCase() !== authority.toLowerCase())) return undefined
  const trailers: Field[] = []
  stream.on('trailers', (_: unknown, _flags: unknown, raw?: string[]) => trailers.push(...fieldsOf(raw ?? [])))
  return {
    version: 2,
    method: headers[':method'] ?? '',
    scheme,
    authority,
    path,
    fields: without(endToEnd(said.filter(([name]) => !name.startsWith(':'))), 'host'),
    body: stream.endAfterHeaders ? null : stream,
    isWhole: () => stream.rstCode === constants.NGHTTP2_NO_ERROR,
    trailers: () => trailers,
  }
}

class Http2Reply implements Reply {
  readonly #stream: ServerHttp2Stream
  readonly #isHead: boolean
  #trailers: readonly Field[] = []
  #isFinished = false

  constructor(stream: ServerHttp2Stream, headers: { ':method'?: string }) {
    this.#stream = stream
    this.#isHead = headers[':method'] === 'HEAD'
    sayTrailers(stream, () => this.#trailers)
  }

  get isBegun(): boolean {
    return this.#stream.headersSent || this.#stream.closed || this.#stream.destroyed
  }

  inform(status: number, fields: readonly Field[]): void {
    if (!this.isBegun) this.#stream.additionalHeaders({ ':status': status, ...listed(endToEnd(fields)) })
  }

  begin(status: number, fields: readonly Field[]): Writable {
    const isBare = this.#isHead || status === 204 || status === 304
    // The Trailer field of HTTP/1.1 is not needed here.
    this.#stream.respond(
      { ':status': status, ...listed(endToEnd(without(fields, 'trailer'))) },
      { endStream: isBare, waitForTrailers: !isBare },
    )
    return this.#stream
  }

  finish(trailers: readonly Field[]): void {
    this.#trailers = trailers
    this.#isFinished = true
    this.#stream.end()
    // Discards the rest of the request.
    this.#stream.resume()
  }

  letGo(): void {
    throw new Error('a stream of HTTP/2 carries nothing else')
  }

  breakOff(): void {
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  }

  onGone(then: () => void): void {
    this.#stream.on('close', () => {
      if (!this.#isFinished || !this.#stream.writableFinished) then()
    })
  }
}
