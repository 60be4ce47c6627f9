import type { IncomingMessage } from 'node:http'
import { CATALOGUE, Fault, type FaultCode } from '@caisson/wire'
import { Code, ConnectError } from '@connectrpc/connect'
import type { Visit } from '../call.ts'
import { sendJson } from '../call.ts'

/** Without LIMIT_HIT, a full disk: it is `internal` as in E2B's envd. What is `resource_exhausted` is a rate for their clients, which say to come back later. */
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

/** Of the plain routes, where E2B's are others than the catalogue's. */
const STATUSES: Partial<Record<FaultCode, number>> = { LIMIT_HIT: 507, USER_UNKNOWN: 401 }

const GONE: ReadonlySet<FaultCode> = new Set(['SANDBOX_GONE', 'AGENT_LOST', 'WIRE_VIOLATION'])

/** Caisson's own clients say that they are; to others nothing is sent that E2B has no word for. */
export function isCaissonClient(visit: Visit): boolean {
  return visit.request.headers['caisson-client'] === '1'
}

/** Whether there is no sandbox any more: E2B's clients know that by a connection that breaks, or an answer that says so, which is the front door's. */
export function isGone(failure: unknown): boolean {
  return failure instanceof Fault && GONE.has(failure.code)
}

/** As a Connect error. `code`: instead of the usual one. */
export function connectFailure(failure: unknown, code?: Code): ConnectError {
  if (failure instanceof ConnectError) return failure
  if (!(failure instanceof Fault)) return new ConnectError('the request could not be carried out', Code.Internal)
  return new ConnectError(failure.message, code ?? CODES[failure.code] ?? Code.Internal, { 'caisson-code': failure.code.toLowerCase() })
}

/** Of the plain HTTP routes. What is no fault of the caller's is thrown on: the front door records it. */
export function sendRefusal(visit: Visit, failure: unknown): void {
  const { reply } = visit
  if (!(failure instanceof Fault) || isGone(failure) || reply.headersSent) throw failure
  const status = STATUSES[failure.code] ?? CATALOGUE[failure.code].status
  const own = isCaissonClient(visit) ? { error_code: failure.code.toLowerCase(), hint: failure.hint } : {}
  discardRest(visit)
  sendJson(reply, status, { code: status, message: failure.message, ...own })
}

/**
 * After an answer to a request whose body may still be coming, the rest is read and thrown away, for as long as the front door puts up with it. To
 * close the connection at once would take the answer from a client that still writes (EPIPE). Before its head is sent.
 */
export function discardRest({ request, reply }: Visit): void {
  if (request.complete) return
  // Whoever has begun to read it may still be on the way to stopping: that ends what resume() has begun, but not this.
  reply.once('finish', () => request.on('data', () => undefined).resume())
}

/** The body as it comes. A request whose reader stops is not destroyed, as it would be otherwise: nothing more would be read of it, and its client stall. */
export async function* bodyOf(request: IncomingMessage): AsyncGenerator<Buffer> {
  // Not yielded as it is: what is thrown into it by whoever reads would destroy the request all the same.
  for await (const piece of request.iterator({ destroyOnReturn: false })) yield piece
}
