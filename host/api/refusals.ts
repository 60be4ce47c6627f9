import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'

/** How long a refused client may take to read the reason. */
const READ_MS = 2_000

/** Input that is not a valid request is answered on its connection, which is then closed. */
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
