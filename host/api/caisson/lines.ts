import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { OwnedCall } from '../call.ts'

/** Streams text with backpressure. Ends without a failure when the reader leaves. */
export async function sendText(call: OwnedCall, contentType: string, pieces: AsyncIterable<string>): Promise<void> {
  call.reply.writeHead(200, { 'content-type': contentType, 'cache-control': 'no-store' })
  call.reply.flushHeaders()
  try {
    await pipeline(Readable.from(pieces), call.reply, { signal: call.signal })
  } catch (failure) {
    if (!call.signal.aborted && !call.reply.destroyed) throw failure
  }
}
