import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'

/** How long whoever is refused may take to read why. */
const READ_MS = 2_000

/** What cannot be answered as a request is answered on its connection, which is over then. */
export function refuseMalformed(socket: Duplex, status: number, message: string): void {
  if (socket.destroyed) return
  const body = JSON.stringify({ code: status, message })
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.on('error', () => socket.destroy())
  setTimeout(() => socket.destroy(), READ_MS).unref()
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
}
