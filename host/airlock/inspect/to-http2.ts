import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type IncomingHttpHeaders } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { Answer, Asking, Field } from './exchange.ts'
import { listed, without } from './fields.ts'
import { sayTrailers } from './trailers.ts'

const WINDOW_BYTES = 256 * 1024
const MAX_SESSION_MIB = 8
const REST_MS = 30_000

/** An HTTP/2 connection for any number of requests. */
export function openHttp2(socket: Duplex, scheme: 'http' | 'https'): ClientHttp2Session {
  const session = connect(`${scheme}://inspected`, {
    createConnection: () => socket,
    maxSessionMemory: MAX_SESSION_MIB,
    settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
  })
  session.on('error', () => session.destroy()).on('goaway', () => session.close())
  session.setTimeout(REST_MS, () => session.close())
  return session
}

export interface Http2Sent {
  readonly heard: Promise<Answer>
  readonly body: ClientHttp2Stream
  finish(trailers: readonly Field[]): void
}

/** Rejects if there is no answer. */
export function askHttp2(session: ClientHttp2Session, { question, authority, inform, signal }: Asking): Http2Sent {
  const { method, path, scheme, fields, body } = question
  const stream = session.request(
    { ':method': method, ':scheme': scheme, ':authority': authority, ':path': path, ...listed(without(fields, 'trailer')) },
    { endStream: body === null, waitForTrailers: body !== null, signal },
  )
  let said: readonly Field[] = []
  const trailers: Field[] = []
  sayTrailers(stream, () => said)
  stream.on('headers', (headers: IncomingHttpHeaders & { ':status'?: number }) => inform(headers[':status'] ?? 100, fieldsIn(headers)))
  stream.on('trailers', (headers: IncomingHttpHeaders) => trailers.push(...fieldsIn(headers)))
  const heard = new Promise<Answer>((resolve, reject) => {
    stream.on('error', reject).on('close', () => reject(new Error(`the stream was closed (${stream.rstCode})`)))
    stream.on('response', (headers: IncomingHttpHeaders & { ':status'?: number }) =>
      resolve({
        status: headers[':status'] ?? 502,
        fields: fieldsIn(headers),
        body: stream,
        isWhole: () => stream.rstCode === constants.NGHTTP2_NO_ERROR,
        trailers: () => trailers,
      }),
    )
  })
  return {
    heard,
    body: stream,
    finish(last) {
      said = last
      if (stream.closed) return
      stream.end()
    },
  }
}

/** Whether it can take another request. */
export function isUsable(session: ClientHttp2Session): boolean {
  return !session.closed && !session.destroyed
}

function fieldsIn(headers: IncomingHttpHeaders): Field[] {
  return Object.entries(headers).flatMap(([name, value]) => {
    if (name.startsWith(':') || value === undefined) return []
    return (Array.isArray(value) ? value : [value]).map((one): Field => [name, one])
  })
}
