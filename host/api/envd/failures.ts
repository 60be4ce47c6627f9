import type { IncomingMessage } from 'node:http'
import { CATALOGUE, Fault, type FaultCode } from '@caisson/wire'
import { Code, ConnectError } from '@connectrpc/connect'
import type { Visit } from '../call.ts'
import { sendJson } from '../call.ts'

/**
 * LIMIT_HIT (a full disk) is missing: it is `internal`, as in E2B's envd. E2B's clients treat `resource_exhausted` as a rate limit and advise to retry later.
 */
const CODES: Partial<Record<FaultCode, Code>> = {
  BAD_REQUEST: Code.InvalidArgument,
  FILE_MISSING: Code.NotFound,
  NOT_FOUND: Code.NotFound,
  FILE_DENIED: Code.PermissionDenied,
  FILE_EXISTS: Code.AlreadyExists,
  FILE_KIND: Code.InvalidArgument,
  UNSUPPORTED: Code.Unimplemented,
  CANCELLED: Code.Canceled,
  UNAUTHENTICATED: Code.Unauthenticated,
  USER_UNKNOWN: Code.Unauthenticated,
  SANDBOX_GONE: Code.Unavailable,
  AGENT_LOST: Code.Unavailable,
}

/** Status codes of the plain routes where E2B's differ from the catalogue's. */
const STATUSES: Partial<Record<FaultCode, number>> = { LIMIT_HIT: 507, USER_UNKNOWN: 401 }

const GONE: ReadonlySet<FaultCode> = new Set(['SANDBOX_GONE', 'AGENT_LOST', 'WIRE_VIOLATION'])

/** Caisson's own clients identify themselves; other clients get nothing that E2B does not define. */
export function isCaissonClient(visit: Visit): boolean {
  return visit.request.headers['caisson-client'] === '1'
}

/** Whether the sandbox is gone. E2B's clients learn that from a broken connection or from the front door's answer. */
export function isGone(failure: unknown): boolean {
  return failure instanceof Fault && GONE.has(failure.code)
}

/** Converts to a Connect error. `code` replaces the usual one. */
export function connectFailure(failure: unknown, code?: Code): ConnectError {
  if (failure instanceof ConnectError) return failure
  if (!(failure instanceof Fault)) return new ConnectError('the request could not be carried out', Code.Internal)
  return new ConnectError(failure.message, code ?? CODES[failure.code] ?? Code.Internal, { 'caisson-code': failure.code.toLowerCase() })
}

/** For the plain HTTP routes. Failures that are not the caller's fault are rethrown, and the front door records them. */
export function sendRefusal(visit: Visit, failure: unknown): void {
  const { reply } = visit
  if (!(failure instanceof Fault) || isGone(failure) || reply.headersSent) throw failure
  const status = STATUSES[failure.code] ?? CATALOGUE[failure.code].status
  const own = isCaissonClient(visit) ? { error_code: failure.code.toLowerCase(), hint: failure.hint } : {}
  discardRest(visit)
  sendJson(reply, status, { code: status, message: failure.message, ...own })
}

/**
 * After an answer to a request whose body may still be arriving, the rest is read and discarded, within the front door's time limit. Closing the connection at
 * once would take the answer from a client that is still writing (EPIPE). Call it before the head is sent.
 */
export function discardRest({ request, reply }: Visit): void {
  if (request.complete) return
  // A reader that is still stopping would end what resume() has begun, but not this.
  reply.once('finish', () => request.on('data', () => undefined).resume())
}

/** The body as it arrives. Unlike with the default iterator, the request survives a reader that stops: destroying it would stall its client. */
export async function* bodyOf(request: IncomingMessage): AsyncGenerator<Buffer> {
  // Not `yield*`: an error thrown in by the reader would destroy the request after all.
  for await (const piece of request.iterator({ destroyOnReturn: false })) yield piece
}
