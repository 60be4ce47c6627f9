import { CATALOGUE, Fault, type FaultCode } from '@caisson/wire'
import { isRecord, type Json, number, text, wholeText } from './json.ts'
import type { Answer } from './link.ts'

/** For answers without a code of the catalogue: those of a proxy in front of a daemon, and of routes that only E2B has. */
const OF_STATUS: Readonly<Record<number, FaultCode>> = {
  400: 'BAD_REQUEST',
  401: 'UNAUTHENTICATED',
  403: 'ACCESS_DENIED',
  404: 'NOT_FOUND',
  409: 'CONFLICT',
  410: 'SANDBOX_GONE',
  413: 'BAD_REQUEST',
  429: 'QUOTA_EXCEEDED',
  499: 'CANCELLED',
  501: 'UNSUPPORTED',
  502: 'DAEMON_UNREACHABLE',
  503: 'OVERLOADED',
  504: 'DAEMON_UNREACHABLE',
  507: 'LIMIT_HIT',
}

/** Codes of the Connect protocol. The caller finds out what `unavailable` means. */
const OF_CONNECT: Readonly<Record<string, FaultCode>> = {
  canceled: 'CANCELLED',
  invalid_argument: 'BAD_REQUEST',
  deadline_exceeded: 'LIMIT_HIT',
  not_found: 'NOT_FOUND',
  already_exists: 'FILE_EXISTS',
  permission_denied: 'ACCESS_DENIED',
  resource_exhausted: 'QUOTA_EXCEEDED',
  failed_precondition: 'CONFLICT',
  aborted: 'CONFLICT',
  unimplemented: 'UNSUPPORTED',
  unauthenticated: 'UNAUTHENTICATED',
}

/** Header and metadata key with the catalogue's code beside a Connect error. */
export const CODE_HEADER = 'caisson-code'
const LONGEST_MESSAGE = 4096

/** Converts an unsuccessful response into a Fault. Reads all of it. */
export async function refusal(answer: Answer, what: string): Promise<Fault> {
  const said = await wholeText(answer, what)
  const body = recordOf(said)
  const retryAfterS = number(answer.headers, 'retry-after')
  if (body === undefined) {
    return madeOf(OF_STATUS[answer.status] ?? 'INTERNAL', messageOf(said, answer.status, what), undefined, retryAfterS)
  }
  const named = text(body, 'error_code') ?? text(answer.headers, CODE_HEADER)
  const code = inCatalogue(named) ?? OF_CONNECT[text(body, 'code') ?? ''] ?? OF_STATUS[answer.status] ?? 'INTERNAL'
  return madeOf(code, messageOf(text(body, 'message') ?? '', answer.status, what), text(body, 'hint'), retryAfterS)
}

/** The same, for an error within a response. */
export function refusalIn(error: Json, what: string): Fault {
  const status = number(error, 'code')
  const code = inCatalogue(text(error, 'error_code')) ?? OF_STATUS[status ?? 0] ?? 'INTERNAL'
  return madeOf(code, messageOf(text(error, 'message') ?? '', status, what), text(error, 'hint'), undefined)
}

/** The error at the end of a Connect stream. */
export function streamRefusal(error: Json, metadata: unknown, what: string): Fault {
  const named = isRecord(metadata) ? metadata[CODE_HEADER] : undefined
  const code = inCatalogue(Array.isArray(named) ? String(named[0]) : undefined) ?? OF_CONNECT[text(error, 'code') ?? ''] ?? 'INTERNAL'
  return madeOf(code, messageOf(text(error, 'message') ?? '', undefined, what), undefined, undefined)
}

function madeOf(code: FaultCode, message: string, hint: string | undefined, retryAfterS: number | undefined): Fault {
  const own = hint ?? CATALOGUE[code].hint
  // For clients without a hint field, the hint follows the message.
  const tail = `. ${own}`
  const plain = message.endsWith(tail) ? message.slice(0, -tail.length) : message
  return new Fault(code, plain, { hint: own, ...(retryAfterS === undefined ? {} : { retryAfterS }) })
}

function messageOf(said: string, status: number | undefined, what: string): string {
  const message = said.trim().slice(0, LONGEST_MESSAGE)
  if (message !== '') return message
  return status === undefined ? `${what}: failed` : `${what}: the daemon answered with status ${status}`
}

function inCatalogue(named: string | undefined): FaultCode | undefined {
  const code = (named ?? '').toUpperCase()
  return Object.hasOwn(CATALOGUE, code) ? (code as FaultCode) : undefined
}

function recordOf(said: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(said)
    return isRecord(value) ? value : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
