import type { Socket } from 'node:net'
import { freshDeadline, onAbort } from '../lifetimes.ts'
import type { Decision } from './egress.ts'

/** {sandbox, connection}, in one line. */
const MAX_HEAD_BYTES = 512
/** Of what the program says; it is not looked at. */
const MAX_SAID_BYTES = 1024 * 1024
const PATIENCE_MS = 5000
const NEWLINE = 0x0a

export type RefusalOf = (sandbox: string, connection: number) => Decision | undefined

/**
 * Serves a connection that was refused in words: the gate says which one it is, the program inside gets a response of HTTP/1.1 that names the rule.
 * Nothing of what it says goes anywhere.
 */
export function refuseInWords(peer: Socket, refusalOf: RefusalOf): void {
  const stop = onAbort(freshDeadline(PATIENCE_MS), () => peer.destroy())
  peer.on('close', stop)
  let head = Buffer.alloc(0)
  let said = 0
  const hear = (bytes: Buffer): void => {
    head = Buffer.concat([head, bytes])
    const end = head.indexOf(NEWLINE)
    if (end > MAX_HEAD_BYTES || (end < 0 && head.length > MAX_HEAD_BYTES)) return void peer.destroy()
    if (end < 0) return
    peer.off('data', hear)
    const named = parsed(head.subarray(0, end))
    const refusal = named === undefined ? undefined : refusalOf(named.sandbox, named.connection)
    if (named === undefined || refusal === undefined) return void peer.destroy()
    // Read to the end, so that the response is not lost to a reset.
    peer.on('data', (more: Buffer) => {
      said += more.length
      if (said > MAX_SAID_BYTES) peer.destroy()
    })
    peer.end(response(named.sandbox, refusal))
  }
  peer.on('data', hear)
}

function response(sandbox: string, { rule, reason, wouldAllow }: Decision): string {
  const hint = `caisson why ${sandbox}`
  const message = `The network policy of this sandbox does not allow it: ${reason}.`
  const body = `${JSON.stringify({ code: 'NETWORK_DENIED', message, rule, wouldAllow, hint })}\n`
  const head = [
    'HTTP/1.1 403 Forbidden',
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'cache-control: no-store',
    'connection: close',
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
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
