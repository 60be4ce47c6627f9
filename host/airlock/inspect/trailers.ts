import { constants, type Http2Stream, type OutgoingHttpHeaders } from 'node:http2'
import type { Field } from './exchange.ts'
import { endToEnd, listed } from './fields.ts'

/**
 * Sends trailers on an HTTP/2 stream. Invalid fields, such as a repeated field that may occur only once, break it off. Node requests trailers in an event,
 * where an exception would crash the host.
 */
export function sayTrailers(
  stream: Http2Stream & { sendTrailers(headers: OutgoingHttpHeaders): void },
  trailers: () => readonly Field[],
): void {
  stream.on('wantTrailers', () => {
    try {
      stream.sendTrailers(listed(endToEnd(trailers())))
    } catch {
      stream.close(constants.NGHTTP2_INTERNAL_ERROR)
    }
  })
}
