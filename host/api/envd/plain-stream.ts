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
/** Somebody may wait for nothing but that a command has started. */
const FIRST_MS = 4
/** What is asked in ordinary requests is far smaller. */
const MAX_BODY_BYTES = 256 * 1024
const ENDINGS = createEndStreamSerialization(undefined)
const WELL_ENDED = encodeEnvelope(endStreamFlag, ENDINGS.serialize({ metadata: new Headers() }))

export interface StreamLimits {
  readonly compressMinBytes: number
  readonly readMaxBytes: number
}

/** How a request wants to be understood and answered. */
interface Wanted {
  readonly binary: boolean
  readonly timeoutMs: number | undefined
  readonly compression: Compression | null
}

/** One RPC with one message in and many out. Resolves when its answer has been handed to the socket. Rejects with what the front door must know of. */
export type PlainStream = (asked: RpcVisit, wanted: Wanted, body: Uint8Array) => Promise<void>

/**
 * The way of a request that is as most are: one message, whole, not packed. It says what Connect's own handler says, which takes every answer through a dozen
 * asynchronous generators that most of the time of a small command went to. Everything else is for that handler: `wanted` is undefined.
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
    // Not a clean end, which would say that all is well.
    if (isGone(asked.failure)) answer.stop()
    else answer.end(end)
    if (asked.failure !== undefined) throw asked.failure
  }
}

/** Undefined: not for a plain stream. By the head alone. */
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

/** As `Headers` has it that was given them all. */
function said(headers: IncomingHttpHeaders, name: string): string | null {
  const value = headers[name]
  return Array.isArray(value) ? value.join(', ') : (value ?? null)
}

/** Whether these bytes are one message, not packed. */
export function isOneMessage(body: Buffer): boolean {
  return body.length >= HEAD_BYTES && body.readUInt8(0) === 0 && body.readUInt32BE(1) === body.length - HEAD_BYTES
}
