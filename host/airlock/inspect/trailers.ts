import { constants, type Http2Stream, type OutgoingHttpHeaders } from 'node:http2'
import type { Field } from './exchange.ts'
import { endToEnd, listed } from './fields.ts'

/**
 * Says what is known at the end of a stream of HTTP/2. Fields that it cannot say, such as one twice that it has once, break it off. Node asks for them in an event:
 * what were thrown there would end the host.
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
