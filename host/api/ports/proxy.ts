import { type ClientRequest, type IncomingMessage, type RequestOptions, request as requestInside, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { Fault, MAX_HEAD_BYTES, within } from '@caisson/wire'
import { onAbort, type Settled, settled } from '../../lifetimes.ts'
import type { Visit } from '../call.ts'
import { sendBroken, sendClosedPort, sendCrowded } from '../edge.ts'
import type { Upgrade } from '../incoming.ts'
import { resetConnection } from '../reset.ts'
import { connectInside, DIAL_MS, reusing, unused } from './connections.ts'
import { type Guise, headersInward, headersOutward, headersUpgraded, trailersInward, trailersOutward } from './headers.ts'
import { join } from './tunnel.ts'

/** A reverse proxy to servers inside, through the sandbox's agent. Their answers are hostile input: bounded, parsed strictly, and framed anew. */
export class PortProxy {
  readonly #isKey: (value: string) => boolean

  constructor(parts: { ownerOf(key: string): unknown }) {
    this.#isKey = (value) => parts.ownerOf(value) !== undefined
  }

  /** Resolves when the answer has been delivered, or could not be. */
  async forward(visit: Visit, prefix: string): Promise<void> {
    const { request } = visit
    const guise = this.#guise(visit, prefix)
    const hasBody = request.headers['transfer-encoding'] !== undefined || (request.headers['content-length'] ?? '0') !== '0'
    try {
      return await this.#exchange(visit, guise, hasBody, !hasBody && TWICE.has(request.method ?? ''))
    } catch (failure) {
      // A server may close an idle connection just as it is reused; it has then not received this request.
      if (!(failure instanceof Stale)) return refuse(visit, failure)
    }
    await this.#exchange(visit, guise, hasBody, false).catch((failure: unknown) => refuse(visit, failure))
  }

  /** Resolves when both sides have ended. */
  async tunnel(visit: Visit, prefix: string, upgrade: Upgrade): Promise<void> {
    const { request, entered, port } = visit
    const guise = this.#guise(visit, prefix)
    try {
      const options = { isTls: isTls(visit), allowHalfOpen: true }
      const inside = await connectInside(entered.live, port, options, within(DIAL_MS, visit.signal))
      const headers = [...headersInward(request, guise), 'Connection', 'Upgrade', 'Upgrade', request.headers.upgrade ?? '']
      const asked = requestInside({ ...this.#target(visit), headers, createConnection: () => inside })
      const answered = awaitAnswer(asked, visit, guise)
      const abandon = () => void asked.destroy()
      const timer = setTimeout(abandon, UPGRADE_MS)
      upgrade.socket.once('close', abandon)
      asked.once('upgrade', (answer: IncomingMessage, _socket: Duplex, head: Buffer) => {
        upgrade.socket.off('close', abandon)
        const joined = async () => join(visit, upgrade, { socket: inside, head }, headersUpgraded(answer, guise))
        // Errors thrown here refuse this visit; thrown in a listener they would crash the daemon.
        joined().then(answered.resolve, answered.reject)
      })
      asked.once('close', () => clearTimeout(timer))
      asked.end()
      await answered.promise
    } catch (failure) {
      refuse(visit, failure)
    }
  }

  #guise({ entered, port }: Visit, prefix: string): Guise {
    const { traffic, accessToken } = entered.record
    return { port, prefix, maskRequestHost: traffic.maskRequestHost, isKey: this.#isKey, accessToken }
  }

  #target({ request, port }: Visit): RequestOptions {
    // Strict, whatever flags Node was started with.
    const strict = { maxHeaderSize: MAX_HEAD_BYTES, insecureHTTPParser: false }
    return { host: 'localhost', port, method: request.method, path: request.url, setHost: false, ...strict }
  }

  async #exchange(visit: Visit, guise: Guise, hasBody: boolean, mayReuse: boolean): Promise<void> {
    const { request, reply, entered } = visit
    const headers = headersInward(request, guise)
    if (request.headers['transfer-encoding'] !== undefined) headers.push('Transfer-Encoding', 'chunked')
    else if (!hasBody && request.headers['content-length'] === undefined && MAY_HAVE_BODY.has(request.method ?? '')) {
      headers.push('Content-Length', '0')
    }
    headers.push('Connection', mayReuse ? 'keep-alive' : 'close')
    const { live, record } = entered
    const connection = (mayReuse ? reusing : unused)(live, record.traffic.httpsPorts)
    const asked = requestInside({ ...this.#target(visit), headers, ...connection })
    const answered = awaitAnswer(asked, visit, guise)
    asked.once('upgrade', (_answer: IncomingMessage, socket: Duplex) => {
      socket.destroy()
      answered.reject(Object.assign(new Error('an upgrade that nobody asked for'), { code: 'HPE_UNEXPECTED_UPGRADE' }))
    })
    const stop = onAbort(visit.signal, () => asked.destroy())
    if (hasBody) send(request, asked, guise)
    else asked.end()
    try {
      await answered.promise
    } catch (failure) {
      const isStale = mayReuse && asked.reusedSocket && !reply.headersSent && !visit.signal.aborted
      throw isStale ? new Stale('the server had closed it', { cause: failure }) : failure
    } finally {
      stop()
    }
  }
}

/** How long a server inside may take to answer an upgrade. Nobody reads from the client meanwhile, so its disconnection would go unnoticed. */
const UPGRADE_MS = 60_000
/** Idempotent methods, which may be retried. */
const TWICE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])
const MAY_HAVE_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH'])

class Stale extends Error {}

function isTls({ entered, port }: Visit): boolean {
  return entered.record.traffic.httpsPorts.includes(port)
}

/** Rejects if no answer comes. Once an answer has begun, errors are handled there: a server may send too much after a complete answer. */
function awaitAnswer(asked: ClientRequest, visit: Visit, guise: Guise): Settled<void> {
  const answered = settled<void>()
  let hasBegun = false
  asked.once('response', (answer) => {
    hasBegun = true
    deliver(answer, visit, guise).then(answered.resolve, answered.reject)
  })
  asked.on('error', (failure) => {
    if (!hasBegun) answered.reject(failure)
  })
  return answered
}

function send(request: IncomingMessage, asked: ClientRequest, guise: Guise): void {
  // The body may take long, and the answer need not wait for it.
  asked.flushHeaders()
  request.pipe(asked, { end: false })
  request.once('end', () => {
    addTrailers(asked, trailersInward(request, guise))
    asked.end()
  })
  // If the request was cut short, its answer is worthless.
  request.once('close', () => {
    if (!request.complete) asked.destroy()
  })
}

/** Resolves when the client has the whole answer; breaks the client's connection if it cannot be completed. */
async function deliver(answer: IncomingMessage, { reply, request, signal }: Visit, guise: Guise): Promise<void> {
  if (reply.headersSent || signal.aborted) return void answer.destroy()
  try {
    // The reason phrase is dropped, since nobody reads it. Throws on an invalid status or header; nothing has been sent then.
    reply.writeHead(answer.statusCode ?? 0, headersOutward(answer, guise))
  } catch (failure) {
    answer.destroy()
    throw failure
  }
  // A client of an event stream wants to know that it is connected before the first event.
  if (answer.headers['content-length'] === undefined) reply.flushHeaders()
  const over = settled<void>()
  answer.once('end', () => {
    addTrailers(reply, trailersOutward(answer, guise))
    reply.end()
  })
  answer.once('close', () => {
    if (!answer.complete) resetConnection(request.socket)
    over.resolve()
  })
  answer.on('error', () => resetConnection(request.socket))
  const stop = onAbort(signal, () => {
    answer.destroy()
    over.resolve()
  })
  answer.pipe(reply, { end: false })
  await over.promise
  stop()
}

/** Called from listeners, where an exception would crash the daemon. */
function addTrailers(message: ServerResponse | ClientRequest, raw: string[]): void {
  if (raw.length === 0) return
  try {
    message.addTrailers(pairs(raw))
  } catch (failure) {
    message.destroy(failure as Error)
  }
}

function pairs(raw: readonly string[]): [string, string][] {
  return raw.flatMap((name, at): [string, string][] => (at % 2 === 0 ? [[name, raw[at + 1] ?? '']] : []))
}

const SANDBOX_LOST: ReadonlySet<string> = new Set(['SANDBOX_GONE', 'AGENT_LOST', 'WIRE_VIOLATION'])

/** The texts are ours; what the server inside said is not repeated. */
function refuse({ request, reply, entered, port, signal }: Visit, failure: unknown): void {
  const { id } = entered.record
  if (signal.aborted) return
  if (reply.headersSent) return resetConnection(request.socket)
  if (failure instanceof Fault) {
    if (failure.code === 'NOT_FOUND') return sendClosedPort(request, reply, id, port)
    if (failure.code === 'UNSUPPORTED') return sendCrowded(request, reply, id)
    if (SANDBOX_LOST.has(failure.code)) throw failure
  }
  const code = failure instanceof Error && 'code' in failure ? String(failure.code) : ''
  if (code === 'HPE_HEADER_OVERFLOW') return sendBroken(request, reply, id, port, `its headers take more than ${MAX_HEAD_BYTES} bytes`)
  if (/^(HPE|ERR_(HTTP|INVALID))_/.test(code)) return sendBroken(request, reply, id, port, 'what it sent is not valid HTTP/1.1')
  sendBroken(request, reply, id, port, 'it closed the connection')
}
