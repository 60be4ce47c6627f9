import { Fault } from '@caisson/wire'
import { envelope, envelopes } from './framing.ts'
import { asRecord, isRecord, type Json, parseJson, text, wholeJson } from './json.ts'
import { refusal, streamRefusal } from './refusal.ts'
import { PORT, type Visit } from './visit.ts'

/** Flag bit of an envelope: the last of its stream. */
const END = 2

interface Options {
  user?: string | undefined
  /** After this long the server ends the call. */
  timeoutMs?: number | undefined
  isAhead?: boolean
}

/** A unary call to a service of the sandbox's agent, in the JSON form of the Connect protocol. Rejects with the Fault that the error stands for. */
export async function unary(
  visit: Visit,
  method: string,
  request: Json,
  options: Options,
  what: string,
  signal: AbortSignal,
): Promise<Json> {
  const ask = { ...asked(method, options, 'application/json'), body: JSON.stringify(request) }
  const answer = await visit.attempt(PORT.agent, ask, signal)
  if (answer.status === 200) return asRecord(await wholeJson(answer, what), what)
  throw await refusal(answer, what)
}

/** A server-streaming call. It ends without an error only if the server ends the stream explicitly. */
export async function* serverStream(
  visit: Visit,
  method: string,
  request: Json,
  options: Options,
  what: string,
  signal: AbortSignal,
): AsyncGenerator<Json> {
  const ask = { ...asked(method, options, 'application/connect+json'), body: envelope(JSON.stringify(request)) }
  const answer = await visit.attempt(PORT.agent, ask, signal)
  if (answer.status !== 200) throw await refusal(answer, what)
  for await (const { flags, payload } of envelopes(answer.body)) {
    const message = asRecord(parseJson(payload.toString('utf8'), what), what)
    if ((flags & END) === 0) {
      yield message
      continue
    }
    if (isRecord(message['error'])) throw await ended(visit, message['error'], message['metadata'], what, signal)
    return
  }
  throw await visit.explain(new Fault('DAEMON_UNREACHABLE', `${what}: the daemon broke off the stream`), signal)
}

function ended(visit: Visit, error: Json, metadata: unknown, what: string, signal: AbortSignal): Promise<Fault> | Fault {
  if (text(error, 'code') !== 'unavailable') return streamRefusal(error, metadata, what)
  return visit.explain(new Fault('DAEMON_UNREACHABLE', `${what}: ${text(error, 'message') ?? 'unavailable'}`), signal)
}

function asked(method: string, { user, timeoutMs, isAhead }: Options, type: string) {
  return {
    method: 'POST' as const,
    path: `/${method}`,
    user,
    isAhead,
    headers: {
      'content-type': type,
      'connect-protocol-version': '1',
      ...(timeoutMs === undefined ? {} : { 'connect-timeout-ms': String(timeoutMs) }),
    },
  }
}
