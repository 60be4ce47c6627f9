import type { IncomingHttpHeaders } from 'node:http'
import { create, type DescMessage, type DescMethodServerStreaming, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf'
import { Code, ConnectError, createContextValues } from '@connectrpc/connect'
import {
  type Compression,
  compressionNegotiate,
  createDeadlineSignal,
  createLinkedAbortController,
  createMethodSerializationLookup,
  encodeEnvelope,
  envelopeCompress,
} from '@connectrpc/connect/protocol'
import {
  contentTypeStreamJson,
  contentTypeStreamProto,
  createEndStreamSerialization,
  endStreamFlag,
  parseContentType,
  parseTimeout,
} from '@connectrpc/connect/protocol-connect'
import { StreamedAnswer } from '../streamed-answer.ts'
import { isGone } from './failures.ts'
import { type RpcContext, type RpcVisit, visitKey } from './serving.ts'

const HEAD_BYTES = 5
/** How long the first event waits for others: some clients wait only for the command to start. */
const FIRST_MS = 4
/** Ordinary requests are far smaller. */
const MAX_BODY_BYTES = 256 * 1024
const ENDINGS = createEndStreamSerialization(undefined)
const WELL_ENDED = encodeEnvelope(endStreamFlag, ENDINGS.serialize({ metadata: new Headers() }))

export interface StreamLimits {
  readonly compressMinBytes: number
  readonly readMaxBytes: number
}

/** The encoding of the request and the wanted encoding of the answer. */
interface Wanted {
  readonly binary: boolean
  readonly timeoutMs: number | undefined
  readonly compression: Compression | null
}

/** A server-streaming RPC. Resolves when its answer has been handed to the socket. Rejects with errors that the front door must handle. */
export type PlainStream = (asked: RpcVisit, wanted: Wanted, body: Uint8Array) => Promise<void>

/**
 * A fast path for the common request: one message, whole, uncompressed. It answers as Connect's own handler does. That handler passes every answer through a
 * dozen async generators, where most of the time of a small command went. All other requests go to that handler (`wanted` is undefined).
 */
export function plainStream<I extends DescMessage, O extends DescMessage>(
  method: DescMethodServerStreaming<I, O>,
  serve: (request: MessageShape<I>, context: RpcContext) => AsyncIterable<MessageInitShape<O>>,
  { compressMinBytes, readMaxBytes }: StreamLimits,
): PlainStream {
  const forms = createMethodSerializationLookup(method, undefined, undefined, { readMaxBytes, writeMaxBytes: 0xffffffff })
  return async (asked, { binary, timeoutMs, compression }, body) => {
    const { reply, signal: client } = asked.visit
    const headers = {
      'content-type': binary ? contentTypeStreamProto : contentTypeStreamJson,
      ...(compression === null ? {} : { 'connect-content-encoding': compression.name }),
    }
    const answer = new StreamedAnswer(reply, headers, FIRST_MS)
    const deadline = timeoutMs === undefined ? undefined : createDeadlineSignal(timeoutMs)
    const signal = deadline === undefined ? client : createLinkedAbortController(deadline.signal, client).signal
    let end = WELL_ENDED
    try {
      const request = forms.getI(binary).parse(body.subarray(HEAD_BYTES))
      for await (const event of serve(request, { signal, values: createContextValues().set(visitKey, asked) })) {
        const data = forms.getO(binary).serialize(create(method.output, event))
        const isLarge = data.length >= compressMinBytes
        const whole = isLarge ? await envelopeCompress({ flags: 0, data }, compression, compressMinBytes) : { flags: 0, data }
        const full = answer.say(encodeEnvelope(whole.flags, whole.data))
        if (full !== undefined) await full
        if (reply.destroyed) return answer.stop()
      }
    } catch (failure) {
      const error =
        failure instanceof ConnectError ? failure : new ConnectError('internal error', Code.Internal, undefined, undefined, failure)
      end = encodeEnvelope(endStreamFlag, ENDINGS.serialize({ metadata: new Headers(), error }))
    } finally {
      deadline?.cleanup()
    }
    // A clean end would signal success.
    if (isGone(asked.failure)) answer.stop()
    else answer.end(end)
    if (asked.failure !== undefined) throw asked.failure
  }
}

/** Decides from the headers alone. Undefined: not for the fast path. */
export function wantedOf(headers: IncomingHttpHeaders, timeoutMs: string | null, compression: Compression): Wanted | undefined {
  const form = parseContentType(headers['content-type'] ?? null)
  const bytes = headers['content-length']
  if (form?.stream !== true || bytes === undefined || Number(bytes) > MAX_BODY_BYTES) return undefined
  const timeout = parseTimeout(timeoutMs, Number.MAX_SAFE_INTEGER)
  const encodings = [
    said(headers, 'connect-content-encoding'),
    said(headers, 'connect-accept-encoding'),
    'connect-accept-encoding',
  ] as const
  const { request, response, error } = compressionNegotiate([compression], ...encodings)
  if (timeout.error !== undefined || error !== undefined || request !== null) return undefined
  return { binary: form.binary, timeoutMs: timeout.timeoutMs, compression: response }
}

/** The value that a `Headers` object built from them would have. */
function said(headers: IncomingHttpHeaders, name: string): string | null {
  const value = headers[name]
  return Array.isArray(value) ? value.join(', ') : (value ?? null)
}

/** Whether the bytes are a single uncompressed message. */
export function isOneMessage(body: Buffer): boolean {
  return body.length >= HEAD_BYTES && body.readUInt8(0) === 0 && body.readUInt32BE(1) === body.length - HEAD_BYTES
}
