import type { IncomingMessage, ServerResponse } from 'node:http'
import { CATALOGUE, Fault } from '@caisson/wire'
import type { z } from 'zod'
import type { Entered, Fleet } from '../sandbox/fleet.ts'
import type { Owner } from '../sandbox/record.ts'
import { wholeBody } from './body.ts'
import type { ControlRooms } from './control-rooms.ts'

/** The services that the routes use; built by the daemon. */
export interface ApiRooms {
  readonly fleet: Fleet
  /** The domain under which `<port>-<id>.<domain>` reaches sandboxes; null: sandboxes are reached through headers only. */
  readonly domain: string | null
  readonly control: ControlRooms
}

/** The abort reason of requests still running when the daemon stops. */
export const DAEMON_STOPS = 'the daemon stops'

/** One request. */
export interface Call {
  readonly rooms: ApiRooms
  readonly request: IncomingMessage
  readonly reply: ServerResponse
  readonly params: Readonly<Record<string, string | undefined>>
  readonly query: URLSearchParams
  /** Aborts when the client disconnects or the daemon stops. */
  readonly signal: AbortSignal
}

/** A request authenticated with a key. */
export interface OwnedCall extends Call {
  readonly owner: Owner
}

/** A request addressed to a sandbox. */
export interface Visit extends Call {
  readonly entered: Entered
  readonly port: number
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** `:name` matches one segment. */
  readonly path: string
  handle(call: OwnedCall): Promise<void>
}

/** Control-plane requests are small; file contents are streamed. */
const MAX_JSON_BYTES = 1024 * 1024

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Parses the body with `schema`; an empty body is `{}`. `hold` as in `wholeBody`. Rejects with BAD_REQUEST naming the field. */
export async function readJson<T>(
  call: Pick<Call, 'request'>,
  schema: z.ZodType<T>,
  maxBytes = MAX_JSON_BYTES,
  hold?: (bytes: number) => void,
): Promise<T> {
  const body = await wholeBody(call.request, maxBytes, hold)
  let value: unknown = {}
  try {
    if (body.length > 0) value = JSON.parse(utf8.decode(body))
  } catch (cause) {
    throw new Fault('BAD_REQUEST', `the body is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
  return parsed(schema, value)
}

/** Throws BAD_REQUEST naming the field. */
export function parsed<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const field = issue?.path.join('.') ?? ''
  const what = issue?.code === 'unrecognized_keys' ? `${issue.keys.join(', ')}: no such field` : (issue?.message ?? 'not valid')
  throw new Fault('BAD_REQUEST', field === '' ? what : `${field}: ${what}`, { cause: result.error })
}

export function sendJson(reply: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  const text = JSON.stringify(body)
  reply.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...headers })
  reply.end(text)
}

export function sendNothing(reply: ServerResponse, status = 204): void {
  reply.writeHead(status, status === 204 ? {} : { 'content-length': 0 })
  reply.end()
}

/** Reports a failure in E2B's shape, with Caisson's code and hint added. Anything but a Fault is a bug of ours: it is logged, not sent. */
export function sendFailure(reply: ServerResponse, failure: unknown): void {
  const fault = failure instanceof Fault ? failure : new Fault('INTERNAL', 'the request could not be carried out', { cause: failure })
  if (reply.headersSent) {
    reply.destroy()
    return
  }
  const { status, retry } = CATALOGUE[fault.code]
  const headers: Record<string, string> = fault.retryAfterS === undefined ? {} : { 'retry-after': String(fault.retryAfterS) }
  // E2B's SDKs retry on 429, 502, 503 and 504 unless told that it is useless. A quota error without a retry time is such a case: waiting frees nothing.
  const isNoUse = retry === 'never' || (status === 429 && fault.retryAfterS === undefined)
  if (isNoUse && status >= 429) headers['should-retry'] = 'false'
  const body = { code: status, message: `${fault.message}. ${fault.hint}`, error_code: fault.code.toLowerCase(), hint: fault.hint }
  sendJson(reply, status, body, headers)
}
