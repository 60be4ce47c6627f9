import { CATALOGUE, Fault, type FaultCode } from '@caisson/wire'
import { Code, ConnectError } from '@connectrpc/connect'
import type { Visit } from '../call.ts'
import { sendJson } from '../call.ts'

const CODES: Partial<Record<FaultCode, Code>> = {
  BAD_REQUEST: Code.InvalidArgument,
  FILE_MISSING: Code.NotFound,
  NOT_FOUND: Code.NotFound,
  FILE_DENIED: Code.PermissionDenied,
  FILE_EXISTS: Code.AlreadyExists,
  FILE_KIND: Code.InvalidArgument,
  LIMIT_HIT: Code.ResourceExhausted,
  UNSUPPORTED: Code.Unimplemented,
  CANCELLED: Code.Canceled,
  UNAUTHENTICATED: Code.Unauthenticated,
  USER_UNKNOWN: Code.Unauthenticated,
  SANDBOX_GONE: Code.Unavailable,
  AGENT_LOST: Code.Unavailable,
}

/** The sandbox is over: E2B's clients know that by a connection that breaks and a /health that says 502. */
const GONE: ReadonlySet<FaultCode> = new Set(['SANDBOX_GONE', 'AGENT_LOST', 'WIRE_VIOLATION'])

/** Caisson's own clients say that they are; to others nothing is sent that E2B has no word for. */
export function isCaissonClient(visit: Visit): boolean {
  return visit.request.headers['caisson-client'] === '1'
}

export function breakOff(visit: Visit): void {
  visit.request.socket.resetAndDestroy()
}

/** As a Connect error. `code`: instead of the usual one. */
export function connectFailure(visit: Visit, failure: unknown, code?: Code): ConnectError {
  if (failure instanceof ConnectError) return failure
  const fault = faultOf(failure)
  if (GONE.has(fault.code)) breakOff(visit)
  return new ConnectError(fault.message, code ?? CODES[fault.code] ?? Code.Internal, { 'caisson-code': fault.code.toLowerCase() })
}

/** Of the plain HTTP routes. */
export function sendRefusal(visit: Visit, failure: unknown): void {
  const fault = faultOf(failure)
  const { reply } = visit
  if (GONE.has(fault.code) || reply.headersSent) {
    breakOff(visit)
    return
  }
  const status = fault.code === 'LIMIT_HIT' ? 507 : fault.code === 'USER_UNKNOWN' ? 401 : CATALOGUE[fault.code].status
  const own = isCaissonClient(visit) ? { error_code: fault.code.toLowerCase(), hint: fault.hint } : {}
  closeIfEarly(visit)
  sendJson(reply, status, { code: status, message: fault.message, ...own })
}

/** How long a client whose body is not wanted may take to notice the answer. */
const LINGER_MS = 2000

/** Before the head of an answer to a request whose body may still be coming: the rest is not read for ever. */
export function closeIfEarly({ request, reply }: Visit): void {
  if (request.complete) return
  reply.shouldKeepAlive = false
  reply.once('finish', () => {
    const timer = setTimeout(() => request.socket.destroy(), LINGER_MS)
    request.socket.once('close', () => clearTimeout(timer))
    request.resume()
  })
}

function faultOf(failure: unknown): Fault {
  if (failure instanceof Fault) return failure
  process.emitWarning(failure instanceof Error ? (failure.stack ?? failure.message) : String(failure), 'CaissonWarning')
  return new Fault('INTERNAL', 'the request could not be carried out', { cause: failure })
}
