import { createServer, type Http2Server } from 'node:http2'
import type { Socket } from 'node:net'
import type { GateRequest } from '@caisson/wire'
import { freshDeadline, onAbort } from '../lifetimes.ts'
import { type Refusal, refusalBody } from './refusal-page.ts'

/** Of what the program says; it is not looked at. */
const MAX_SAID_BYTES = 1024 * 1024
const PATIENCE_MS = 5000
/** Enough of the preface of HTTP/2 to tell it from any request of HTTP/1. */
const PREFACE = Buffer.from('PRI ')

export interface Refused {
  readonly way: Extract<GateRequest, { ask: 'connect' }>['way']
  readonly decision: Refusal
}

/**
 * Serves a connection that was refused in words: the program inside gets a response of HTTP/1.1 or HTTP/2 that names the rule. Nothing of what it says
 * goes anywhere. `peer` is paused.
 */
export function refuseInWords(peer: Socket, sandbox: string, { way, decision }: Refused): void {
  const stop = onAbort(freshDeadline(PATIENCE_MS), () => peer.destroy())
  peer.on('close', stop)
  const body = refusalBody(sandbox, decision)
  let heard: Buffer = Buffer.alloc(0)
  const answer = (): void => {
    peer.off('data', hear)
    let bytes = heard.length
    // Read to the end, so that the response is not lost to a reset.
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
    // Who ends HTTP/2 has nothing more to hear.
    http2Of(body).emit('connection', Object.assign(peer, { allowHalfOpen: false }))
  }
  // The proxy's client waits for the answer to its CONNECT; who was caught has spoken already, or it would not have come here.
  if (way !== 'direct') return answer()
  peer.on('data', hear).resume()
}

const HEADERS = { 'content-type': 'application/json', 'cache-control': 'no-store' }

function responseOf(body: string): string {
  const fields = { ...HEADERS, 'content-length': String(Buffer.byteLength(body)), connection: 'close' }
  const head = Object.entries(fields).map(([name, value]) => `${name}: ${value}`)
  return `${['HTTP/1.1 403 Forbidden', ...head].join('\r\n')}\r\n\r\n${body}`
}

/** Answers whatever it is asked with this, once. */
function http2Of(body: string): Http2Server {
  const server = createServer({ maxSessionMemory: 1, settings: { maxConcurrentStreams: 8 } })
  server.on('sessionError', () => undefined)
  server.on('stream', (stream) => {
    stream.on('error', () => stream.destroy())
    // Taken back before Node has told of it: an answer to that would be thrown back at the host.
    if (stream.closed || stream.destroyed) return
    stream.respond({ ...HEADERS, ':status': 403 })
    stream.end(body, () => stream.session?.close())
  })
  return server
}
