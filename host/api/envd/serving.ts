import { Fault } from '@caisson/wire'
import { Code, ConnectError, createContextKey, type HandlerContext } from '@connectrpc/connect'
import type { Visit } from '../call.ts'
import { checkToken } from './access.ts'
import { sayUser, userOf } from './asked.ts'
import { connectFailure, isCaissonClient, isGone } from './failures.ts'
import type { Listing } from './listing.ts'

/** A visit that is an RPC. */
export interface RpcVisit {
  readonly visit: Visit
  /** An error that is not the caller's fault, for the front door: the sandbox is gone, or there is a bug. */
  failure: unknown
  /** Replaces the answer's message, which is then empty. */
  listing?: Listing
}

/** The part of a handler's context that is used. */
export type RpcContext = Pick<HandlerContext, 'signal' | 'values'>

export const visitKey = createContextKey<RpcVisit | undefined>(undefined)

/** Keep-alive interval for clients that do not choose one. */
const KEEPALIVE_S = 90
const MAX_KEEPALIVE_S = 3600
/** As in E2B, any other value is ignored. A fraction of a second would let one request cause endless work. */
const WHOLE_SECONDS = /^[1-9]\d{0,8}$/

/** An RPC, its user and its deadline: `signal` also aborts at the deadline, with a ConnectError as its reason. */
export interface Rpc {
  readonly asked: RpcVisit
  readonly visit: Visit
  readonly user: string
  readonly signal: AbortSignal
  readonly keepaliveMs: number
  /** From a Caisson client. */
  readonly isOwn: boolean
}

function begin(context: RpcContext): Rpc {
  const asked = context.values.get(visitKey)
  if (asked === undefined) throw new ConnectError('no sandbox', Code.Internal)
  const { visit } = asked
  checkToken(visit)
  const interval = String(visit.request.headers['keepalive-ping-interval'] ?? '')
  const keepaliveS = WHOLE_SECONDS.test(interval) ? Math.min(Number(interval), MAX_KEEPALIVE_S) : KEEPALIVE_S
  return { asked, visit, user: userOf(visit), signal: context.signal, keepaliveMs: keepaliveS * 1000, isOwn: isCaissonClient(visit) }
}

function told(context: RpcContext, rpc: Rpc | undefined, failure: unknown): ConnectError {
  const { signal } = context
  // Once the deadline has passed, it is the error to report, whatever failed because of it.
  if (signal.aborted && signal.reason instanceof ConnectError) return signal.reason
  const asked = context.values.get(visitKey)
  const isOurs = !(failure instanceof Fault || failure instanceof ConnectError)
  if (asked !== undefined && !signal.aborted && (isOurs || isGone(failure))) asked.failure = failure
  return connectFailure(rpc === undefined ? failure : sayUser(failure, rpc.user))
}

/** A unary RPC. `Request` may also be a stream of messages. */
export function answering<Request, Response>(serve: (request: Request, rpc: Rpc) => Promise<Response>) {
  return async (request: Request, context: RpcContext): Promise<Response> => {
    let rpc: Rpc | undefined
    try {
      rpc = begin(context)
      return await serve(request, rpc)
    } catch (failure) {
      throw told(context, rpc, failure)
    }
  }
}

/** A server-streaming RPC. */
export function streaming<Request, Response>(serve: (request: Request, rpc: Rpc) => AsyncGenerator<Response>) {
  return async function* (request: Request, context: RpcContext): AsyncGenerator<Response> {
    let rpc: Rpc | undefined
    try {
      rpc = begin(context)
      yield* serve(request, rpc)
    } catch (failure) {
      throw told(context, rpc, failure)
    }
  }
}
