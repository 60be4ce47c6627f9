import { createServer, type Http2Server } from 'node:http2'
import type { Socket } from 'node:net'
import type { GateRequest } from '@caisson/wire'
import { freshDeadline, onAbort } from '../lifetimes.ts'
import type { Decision } from './egress.ts'

/** {sandbox, connection}, in one line. */
const MAX_HEAD_BYTES = 512
/** Of what the program says; it is not looked at. */
const MAX_SAID_BYTES = 1024 * 1024
const PATIENCE_MS = 5000
const NEWLINE = 0x0a
/** Enough of the preface of HTTP/2 to tell it from any request of HTTP/1. */
const PREFACE = Buffer.from('PRI ')

export interface Refusal {
  readonly way: Extract<GateRequest, { ask: 'connect' }>['way']
  readonly decision: Decision
}
export type RefusalOf = (sandbox: string, connection: number) => Refusal | undefined

/**
 * Serves a connection that was refused in words: the gate says which one it is, the program inside gets a response of HTTP/1.1 or HTTP/2 that names the
 * rule. Nothing of what it says goes anywhere.
 */
export function refuseInWords(peer: Socket, refusalOf: RefusalOf): void {
  const stop = onAbort(freshDeadline(PATIENCE_MS), () => peer.destroy())
  peer.on('close', stop)
  let heard = Buffer.alloc(0)
  let body: string | undefined
  const hear = (bytes: Buffer): void => {
    heard = Buffer.concat([heard, bytes])
    if (body === undefined) {
      const end = heard.indexOf(NEWLINE)
      if (end > MAX_HEAD_BYTES || (end < 0 && heard.length > MAX_HEAD_BYTES)) return void peer.destroy()
      if (end < 0) return
      const named = parsed(heard.subarray(0, end))
      const refusal = named === undefined ? undefined : refusalOf(named.sandbox, named.connection)
      if (named === undefined || refusal === undefined) return void peer.destroy()
      heard = heard.subarray(end + 1)
      body = bodyOf(named.sandbox, refusal.decision)
      // The proxy's client waits for the answer to its CONNECT; who was caught has spoken already, or it would not have come here.
      if (refusal.way !== 'direct') return answer(body)
    }
    const isHttp2 = heard.subarray(0, PREFACE.length).equals(PREFACE.subarray(0, heard.length))
    if (!isHttp2) return answer(body)
    if (heard.length < PREFACE.length) return
    peer.off('data', hear).pause().unshift(heard)
    http2Of(body).emit('connection', peer)
  }
  const answer = (text: string): void => {
    peer.off('data', hear)
    let bytes = heard.length
    // Read to the end, so that the response is not lost to a reset.
    peer.on('data', (more: Buffer) => {
      bytes += more.length
      if (bytes > MAX_SAID_BYTES) peer.destroy()
    })
    peer.end(responseOf(text))
  }
  peer.on('data', hear)
}

function bodyOf(sandbox: string, { rule, reason, wouldAllow }: Decision): string {
  const hint = `caisson why ${sandbox}`
  const message = `The network policy of this sandbox does not allow it: ${reason}.`
  return `${JSON.stringify({ code: 'NETWORK_DENIED', message, rule, wouldAllow, hint })}\n`
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
    stream.respond({ ...HEADERS, ':status': 403 })
    stream.end(body, () => stream.session?.close())
  })
  return server
}

function parsed(line: Buffer): { sandbox: string; connection: number } | undefined {
  try {
    const said: unknown = JSON.parse(line.toString())
    if (typeof said !== 'object' || said === null || !('sandbox' in said) || !('connection' in said)) return undefined
    const { sandbox, connection } = said
    return typeof sandbox === 'string' && typeof connection === 'number' ? { sandbox, connection } : undefined
  } catch {
    return undefined
  }
}
