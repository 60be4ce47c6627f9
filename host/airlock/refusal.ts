import type { Socket } from 'node:net'
import { freshDeadline, onAbort } from '../lifetimes.ts'
import { type Refusal, refusalBody } from './refusal-page.ts'

/** Of what the program says; it is not looked at. */
const MAX_SAID_BYTES = 1024 * 1024
const PATIENCE_MS = 5000

/** To a connection that was refused in words: a response of HTTP/1.1 that names the rule. Nothing of what its program says goes anywhere. */
export function refuseInWords(peer: Socket, sandbox: string, refusal: Refusal): void {
  const stop = onAbort(freshDeadline(PATIENCE_MS), () => peer.destroy())
  let said = 0
  // Read to the end, so that the response is not lost to a reset.
  peer.on('close', stop).on('data', (more: Buffer) => {
    said += more.length
    if (said > MAX_SAID_BYTES) peer.destroy()
  })
  const body = refusalBody(sandbox, refusal)
  const head = [
    'HTTP/1.1 403 Forbidden',
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'cache-control: no-store',
    'connection: close',
  ]
  peer.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  peer.resume()
}
