import type { IncomingMessage } from 'node:http'
import { Fault } from '@caisson/wire'

/**
 * The body of a request, which is small enough to be held. Rejects with BAD_REQUEST when it has more than `maxBytes`: then the rest is read and thrown away, so
 * that who is refused gets the answer, and may ask something else on the same connection; so it is with what `hold` throws, which is told of each piece. Rejects with
 * CANCELLED when the client goes before its end.
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
    // Of one that is over already nothing more is heard.
    if (request.destroyed) return fail()
    request.on('data', take).on('end', end).on('error', fail).on('close', fail)
  })
}
