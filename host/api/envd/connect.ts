import type { IncomingMessage } from 'node:http'
import { pipeline } from 'node:stream'
import { promisify } from 'node:util'
import { createGzip, gunzip, gzip } from 'node:zlib'
import type { DescMethod } from '@bufbuild/protobuf'
import { Filesystem } from '@caisson/wire/envd/filesystem'
import { Process } from '@caisson/wire/envd/process'
import { Code, ConnectError, createConnectRouter, createContextValues } from '@connectrpc/connect'
import {
  type Compression,
  compressionNegotiate,
  createAsyncIterable,
  createMethodUrl,
  type UniversalHandler,
  type UniversalServerResponse,
} from '@connectrpc/connect/protocol'
import { wholeBody } from '../body.ts'
import type { Visit } from '../call.ts'
import { bodyOf, discardRest, isGone } from './failures.ts'
import { filesystemService } from './filesystem-service.ts'
import { type Listing, listed } from './listing.ts'
import { isOneMessage, type PlainStream, plainStream, wantedOf } from './plain-stream.ts'
import { processService } from './process-service.ts'
import { type RpcVisit, visitKey } from './serving.ts'
import { written } from './written.ts'

/** Limit on one message, both as received and uncompressed. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024
const COMPRESS_FROM_BYTES = 64 * 1024
/** Roughly the same size, counted in entries. */
const PACK_FROM_ENTRIES = 256
const OK = 200
/** The longest delay of a timer. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1

const packed: Compression = {
  name: 'gzip',
  compress: async (bytes) => await promisify(gzip)(bytes, { level: 1 }),
  async decompress(bytes, maxBytes) {
    if (bytes.length === 0) return new Uint8Array()
    try {
      return await promisify(gunzip)(bytes, { maxOutputLength: maxBytes })
    } catch (cause) {
      const isLarge = cause instanceof RangeError
      const message = isLarge ? `message is larger than ${maxBytes} bytes` : 'the message is not gzip'
      throw new ConnectError(message, isLarge ? Code.ResourceExhausted : Code.InvalidArgument, undefined, undefined, cause)
    }
  },
}

const limits = { compressMinBytes: COMPRESS_FROM_BYTES, readMaxBytes: MAX_MESSAGE_BYTES }

const handlers: ReadonlyMap<string, UniversalHandler> = new Map(
  createConnectRouter({ grpc: false, grpcWeb: false, acceptCompression: [packed], ...limits })
    .service(Process, processService)
    .service(Filesystem, filesystemService)
    .handlers.map((handler) => [handler.requestPath, handler]),
)

const plainStreams: ReadonlyMap<string, PlainStream> = new Map([
  [pathOf(Process.method.start), plainStream(Process.method.start, processService.start, limits)],
  [pathOf(Process.method.connect), plainStream(Process.method.connect, processService.connect, limits)],
])

function pathOf(method: DescMethod): string {
  return createMethodUrl('/', method)
}

/** Whether this is a method of a Connect service here. */
export function isRpc(path: string): boolean {
  return handlers.has(path)
}

/** Resolves when the response has been handed to the socket, or nobody wants it any more. */
export async function serveRpc(visit: Visit, path: string): Promise<void> {
  const { request, signal } = visit
  const handler = handlers.get(path)
  if (handler === undefined) return
  const asked: RpcVisit = { visit, failure: undefined }
  const plain = request.method === 'POST' ? plainStreams.get(path) : undefined
  const wanted = plain === undefined ? undefined : wantedOf(request.headers, timeoutOf(request), packed)
  const body = wanted === undefined ? undefined : await wholeBody(request, MAX_MESSAGE_BYTES)
  if (plain !== undefined && wanted !== undefined && body !== undefined && isOneMessage(body)) return plain(asked, wanted, body)
  const answer = await handler({
    httpVersion: request.httpVersion,
    method: request.method ?? '',
    url: `http://envd${path}`,
    header: headersOf(request),
    body: body === undefined ? bodyOf(request) : createAsyncIterable([body]),
    signal,
    contextValues: createContextValues().set(visitKey, asked),
  })
  await send(asked, answer)
}

function headersOf(request: IncomingMessage): Headers {
  const made = new Headers()
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined) made.set(name, Array.isArray(value) ? value.join(', ') : value)
  }
  if (timeoutOf(request) === null) made.delete('connect-timeout-ms')
  return made
}

/** Null: no timeout. None was given, or it exceeds what a timer can count. */
function timeoutOf({ headers }: IncomingMessage): string | null {
  const said = headers['connect-timeout-ms']
  const text = Array.isArray(said) ? said.join(', ') : said
  const timeoutMs = Number(text ?? 0)
  return text === undefined || timeoutMs === 0 || timeoutMs > MAX_TIMEOUT_MS ? null : text
}

/** Sends the listing in place of its empty placeholder message, compressed if that would have been. */
function inPlace(listing: Listing, header: Headers, { request }: Visit): AsyncIterable<Uint8Array> {
  header.delete('content-length')
  const whole = listed(listing, header.get('content-type')?.includes('json') === true)
  const wanted = compressionNegotiate([packed], null, `${request.headers['accept-encoding'] ?? ''}`, 'accept-encoding').response
  if (wanted === null || listing.entries.length < PACK_FROM_ENTRIES) return whole
  header.set('content-encoding', packed.name)
  const small = createGzip({ level: 1 })
  // The reader of the stream gets the error.
  pipeline(whole, small, () => undefined)
  return small
}

/** Rejects with errors that the front door must handle. */
async function send(asked: RpcVisit, answer: UniversalServerResponse): Promise<void> {
  const { visit } = asked
  const { reply } = visit
  if (isGone(asked.failure)) throw asked.failure
  discardRest(visit)
  const header = answer.header ?? new Headers()
  const body = answer.status === OK && asked.listing !== undefined ? inPlace(asked.listing, header, visit) : (answer.body ?? [])
  reply.writeHead(answer.status, Object.fromEntries(header))
  for await (const piece of body) {
    // A clean end would signal success.
    if (isGone(asked.failure)) throw asked.failure
    await written(reply, piece)
    if (reply.destroyed) return
  }
  reply.end()
  if (asked.failure !== undefined) throw asked.failure
}
