import { Agent, type ClientRequest, type ClientRequestArgs } from 'node:http'
import type { Duplex } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { connect } from 'node:tls'
import { Fault } from '@caisson/wire'
import { freshDeadline, settled } from '../../lifetimes.ts'
import type { LiveSandbox } from '../../sandbox/life.ts'

export const DIAL_MS = 10_000
/** A server that has just been started may need a moment until it listens. */
const TRIES_AFTER_MS = [10, 20, 40, 80]
/** A connection that waits is one of the streams of the sandbox's agent; and many servers end theirs after five seconds. */
const IDLE_MS = 4_000
const MAX_IDLE = 8

/** A connection to a server inside; TLS where the server speaks it, which shows whatever certificate it has. */
export async function connectInside(
  live: LiveSandbox,
  port: number,
  options: { isTls: boolean; allowHalfOpen: boolean },
  signal: AbortSignal,
): Promise<Duplex> {
  const plain = await dialInside(live, port, options.allowHalfOpen, signal)
  // Whoever uses it hears of its end otherwise; an error without a listener would be the daemon's own.
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

/** Connections to the servers of one sandbox, which serve one request after the other. */
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

/** For a request that may go over a connection which has served another: part of the options of `http.request`. */
export function reusing(live: LiveSandbox, httpsPorts: readonly number[]): { agent: Agent } {
  let agent = agents.get(live)
  if (agent === undefined) {
    // Lives and ends with the sandbox, whose connections break with it.
    agent = new InsideAgent(live, httpsPorts)
    agents.set(live, agent)
  }
  return { agent }
}

/** For a request that gets a connection of its own. */
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
