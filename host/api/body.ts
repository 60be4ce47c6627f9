import type { IncomingMessage } from 'node:http'
import { Fault } from '@caisson/wire'

/**
 * Reads a request body that is small enough to hold in memory. Rejects with BAD_REQUEST if it exceeds `maxBytes`. The rest is then read and discarded, so that
 * the client gets the answer and can reuse the connection. The same applies to what `hold` throws, which is called for each piece. Rejects with CANCELLED if
 * the client leaves early.
 */
export function wholeBody(request: IncomingMessage, maxBytes: number, hold?: (bytes: number) => void): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = []
    let bytes = 0
    const over = () => {
      request.off('data', take).off('end', end).off('error', fail).off('close', fail)
    }
    const take = (piece: Buffer) => {
      bytes += piece.length
      pieces.push(piece)
      try {
        if (bytes > maxBytes) throw new Fault('BAD_REQUEST', `the body is larger than ${maxBytes} bytes`)
        hold?.(piece.length)
      } catch (failure) {
        over()
        request.resume()
        reject(failure)
      }
    }
    const end = () => {
      over()
      resolve(pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces))
    }
    const fail = (cause?: unknown) => {
      over()
      reject(new Fault('CANCELLED', 'the client has gone', { cause: cause ?? request.errored }))
    }
    // A closed request emits no further events.
    if (request.destroyed) return fail()
    request.on('data', take).on('end', end).on('error', fail).on('close', fail)
  })
}
