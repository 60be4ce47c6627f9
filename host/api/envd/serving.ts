import { Fault } from '@caisson/wire'
import { Code, ConnectError, createContextKey, type HandlerContext } from '@connectrpc/connect'
import type { Visit } from '../call.ts'
import { checkToken } from './access.ts'
import { sayUser, userOf } from './asked.ts'
import { connectFailure, isCaissonClient, isGone } from './failures.ts'
import type { Listing } from './listing.ts'

/** A visit that asks for an RPC. */
export interface RpcVisit {
  readonly visit: Visit
  /** What is not the caller's fault, for the front door: the sandbox is gone, or we are wrong. */
  failure: unknown
  /** In the place of an answer's message, which is empty then. */
  listing?: Listing
}

/** What is used of a handler's context. */
export type RpcContext = Pick<HandlerContext, 'signal' | 'values'>

export const visitKey = createContextKey<RpcVisit | undefined>(undefined)

/** Clients that say nothing of it hear from us this often. */
const KEEPALIVE_S = 90
const MAX_KEEPALIVE_S = 3600
/** As E2B's has it: anything else is as if nothing had been said. A part of a second would be work without end for whoever asked once. */
const WHOLE_SECONDS = /^[1-9]\d{0,8}$/

/** One RPC, by whom, and until when: `signal` aborts at its deadline too, and then its reason is a ConnectError. */
export interface Rpc {
  readonly asked: RpcVisit
  readonly visit: Visit
  readonly user: string
  readonly signal: AbortSignal
  readonly keepaliveMs: number
  /** Of a client of Caisson's own. */
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
  // Whatever failed because the time was up: that is what is said.
  if (signal.aborted && signal.reason instanceof ConnectError) return signal.reason
  const asked = context.values.get(visitKey)
  const isOurs = !(failure instanceof Fault || failure instanceof ConnectError)
  if (asked !== undefined && !signal.aborted && (isOurs || isGone(failure))) asked.failure = failure
  return connectFailure(rpc === undefined ? failure : sayUser(failure, rpc.user))
}

/** One message in, one message out. `Request` may be a stream of messages too. */
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

/** One message in, many out. */
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
