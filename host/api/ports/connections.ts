import { Agent, type ClientRequest, type ClientRequestArgs } from 'node:http'
import type { Duplex } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { connect } from 'node:tls'
import { Fault } from '@caisson/wire'
import { freshDeadline, settled } from '../../lifetimes.ts'
import type { LiveSandbox } from '../../sandbox/life.ts'

export const DIAL_MS = 10_000
/** Retry delays: a server that was just started may take a moment to listen. */
const TRIES_AFTER_MS = [10, 20, 40, 80]
/** An idle connection occupies one of the agent's streams, and many servers close theirs after five seconds. */
const IDLE_MS = 4_000
const MAX_IDLE = 8

/** Connects to a server inside; with TLS if the server speaks it, accepting any certificate. */
export async function connectInside(
  live: LiveSandbox,
  port: number,
  options: { isTls: boolean; allowHalfOpen: boolean },
  signal: AbortSignal,
): Promise<Duplex> {
  const plain = await dialInside(live, port, options.allowHalfOpen, signal)
  // Users learn of its end in other ways. An error without a listener would crash the daemon.
  plain.on('error', () => plain.destroy())
  if (!options.isTls) return plain
  const secured = settled<Duplex>()
  const socket = connect({ socket: plain, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
  const timer = setTimeout(() => socket.destroy(new Error('no TLS handshake in time')), DIAL_MS)
  socket.once('secureConnect', () => secured.resolve(socket))
  socket.on('error', secured.reject)
  socket.once('close', () => secured.reject(new Error('the connection was closed before TLS was agreed')))
  try {
    return await secured.promise
  } finally {
    clearTimeout(timer)
  }
}

async function dialInside(live: LiveSandbox, port: number, allowHalfOpen: boolean, signal: AbortSignal): Promise<Duplex> {
  for (const afterMs of TRIES_AFTER_MS) {
    try {
      return await live.dial(port, { allowHalfOpen }, signal)
    } catch (failure) {
      if (!(failure instanceof Fault) || failure.code !== 'NOT_FOUND') throw failure
      await pause(afterMs, undefined, { signal })
    }
  }
  return live.dial(port, { allowHalfOpen }, signal)
}

/** Keep-alive connections to the servers of one sandbox. */
class InsideAgent extends Agent {
  readonly #connect: NonNullable<ClientRequestArgs['createConnection']>

  constructor(live: LiveSandbox, httpsPorts: readonly number[]) {
    super({ keepAlive: true, maxFreeSockets: MAX_IDLE })
    this.#connect = unused(live, httpsPorts).createConnection
  }

  override createConnection(options: ClientRequestArgs, done: Created) {
    return this.#connect(options, done)
  }

  override keepSocketAlive(socket: Duplex): boolean {
    const timer = setTimeout(() => socket.destroy(), IDLE_MS).unref()
    idling.set(socket, timer)
    return true
  }

  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    clearTimeout(idling.get(socket))
    super.reuseSocket(socket, request)
  }
}

type Created = (failure: Error | null, socket: Duplex) => void

const idling = new WeakMap<Duplex, NodeJS.Timeout>()
const agents = new WeakMap<LiveSandbox, InsideAgent>()

/** For requests that may reuse a connection: part of the options of `http.request`. */
export function reusing(live: LiveSandbox, httpsPorts: readonly number[]): { agent: Agent } {
  let agent = agents.get(live)
  if (agent === undefined) {
    // Kept per sandbox life; its connections break when that ends.
    agent = new InsideAgent(live, httpsPorts)
    agents.set(live, agent)
  }
  return { agent }
}

/** For requests that need a new connection. */
export function unused(live: LiveSandbox, httpsPorts: readonly number[]) {
  return {
    createConnection: (options: ClientRequestArgs, done: Created) => {
      const port = Number(options.port)
      connectInside(live, port, { isTls: httpsPorts.includes(port), allowHalfOpen: false }, freshDeadline(DIAL_MS)).then(
        (socket) => done(null, socket),
        (failure: Error) => done(failure, undefined as never),
      )
      return undefined
    },
  }
}
