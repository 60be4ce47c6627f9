import { createServer, type Http2Server } from 'node:http2'
import type { Socket } from 'node:net'
import type { GateRequest } from '@caisson/wire'
import { freshDeadline, onAbort } from '../lifetimes.ts'
import { type Refusal, refusalBody } from './refusal-page.ts'

/** Limit on the program's data, which is not examined. */
const MAX_SAID_BYTES = 1024 * 1024
const PATIENCE_MS = 5000
/** Enough of the HTTP/2 preface to distinguish it from any HTTP/1 request. */
const PREFACE = Buffer.from('PRI ')

export interface Refused {
  readonly way: Extract<GateRequest, { ask: 'connect' }>['way']
  readonly decision: Refusal
}

/** Refuses a connection with a readable HTTP/1.1 or HTTP/2 response that names the rule. Nothing that the program sends is forwarded. `peer` is paused. */
export function refuseInWords(peer: Socket, sandbox: string, { way, decision }: Refused): void {
  const stop = onAbort(freshDeadline(PATIENCE_MS), () => peer.destroy())
  peer.on('close', stop)
  const body = refusalBody(sandbox, decision)
  let heard: Buffer = Buffer.alloc(0)
  const answer = (): void => {
    peer.off('data', hear)
    let bytes = heard.length
    // Reads to the end, so that the response is not lost to a reset.
    peer.on('data', (more: Buffer) => {
      bytes += more.length
      if (bytes > MAX_SAID_BYTES) peer.destroy()
    })
    peer.end(responseOf(body))
    peer.resume()
  }
  const hear = (bytes: Buffer): void => {
    heard = Buffer.concat([heard, bytes])
    const isHttp2 = heard.subarray(0, PREFACE.length).equals(PREFACE.subarray(0, heard.length))
    if (!isHttp2) return answer()
    if (heard.length < PREFACE.length) return
    peer.off('data', hear).pause().unshift(heard)
    // A client that ends HTTP/2 reads nothing more.
    http2Of(body).emit('connection', Object.assign(peer, { allowHalfOpen: false }))
  }
  // A proxy client waits for the answer to its CONNECT. An intercepted one has already sent data, or it would not be here.
  if (way !== 'direct') return answer()
  peer.on('data', hear).resume()
}

const HEADERS = { 'content-type': 'application/json', 'cache-control': 'no-store' }

function responseOf(body: string): string {
  const fields = { ...HEADERS, 'content-length': String(Buffer.byteLength(body)), connection: 'close' }
  const head = Object.entries(fields).map(([name, value]) => `${name}: ${value}`)
  return `${['HTTP/1.1 403 Forbidden', ...head].join('\r\n')}\r\n\r\n${body}`
}

/** Answers any request with this, once. */
function http2Of(body: string): Http2Server {
  const server = createServer({ maxSessionMemory: 1, settings: { maxConcurrentStreams: 8 } })
  server.on('sessionError', () => undefined)
  server.on('stream', (stream) => {
    stream.on('error', () => stream.destroy())
    // The client cancelled it before Node reported it; responding would throw.
    if (stream.closed || stream.destroyed) return
    stream.respond({ ...HEADERS, ':status': 403 })
    stream.end(body, () => stream.session?.close())
  })
  return server
}
