import type { ClientRequest, IncomingHttpHeaders, IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http'
import type { LookupFunction } from 'node:net'
import { Fault } from '@caisson/wire'
import { cancelled, onAbort } from '../signals.ts'

/** One request to a daemon. */
export interface Ask {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** With its query. */
  path: string
  headers?: Readonly<Record<string, string>>
  body?: string | Uint8Array | AsyncIterable<Uint8Array>
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  /** Rejects with CANCELLED when the request's signal aborts, or DAEMON_UNREACHABLE when it breaks off. Leaving the loop ends the request. */
  body: AsyncIterable<Uint8Array>
}

export interface LinkOptions {
  /** The daemon's URL; a path in it is prefixed to every request path. */
  url: string
  /** Certificates to trust in addition to Node's, as PEM. */
  ca?: string
}

interface Transport {
  agent: PlainAgent
  request: typeof plainRequest
}

/** TCP keep-alive; it also detects a peer that vanished silently, for streams that are idle for hours. */
const PROBE_AFTER_MS = 30_000
/** Errors of a kept-alive connection that the peer had closed while it was idle. */
const STALE: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE'])

/** HTTP access to a daemon over kept-alive connections. Idle ones do not keep the process alive. */
export class Link {
  readonly url: URL
  readonly #ca: string | undefined
  #transport: Promise<Transport> | undefined

  /** Throws BAD_REQUEST if the address is malformed. */
  constructor(options: LinkOptions) {
    this.url = daemonUrl(options.url)
    this.#ca = options.ca
  }

  /** Resolves when the response head has arrived, whatever its status. Rejects with CANCELLED or DAEMON_UNREACHABLE. */
  async ask(ask: Ask, signal: AbortSignal): Promise<Answer> {
    const { agent, request } = await this.#open()
    for (let attempt = 0; ; attempt += 1) {
      if (signal.aborted) throw cancelled(signal)
      try {
        return await this.#send(ask, agent, request, signal)
      } catch (failure) {
        const isStale = failure instanceof Unanswered && failure.wasKept && STALE.has(codeOf(failure.cause))
        // Only a request that changes nothing may be repeated; any other may already have been carried out.
        if (isStale && ask.method === 'GET' && attempt === 0) continue
        throw failure instanceof Unanswered ? this.#unreachable(failure.cause) : failure
      }
    }
  }

  async close(): Promise<void> {
    const transport = await this.#transport
    transport?.agent.destroy()
  }

  #send(ask: Ask, agent: PlainAgent, request: typeof plainRequest, signal: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const { body } = ask
      const bytes = typeof body === 'string' ? Buffer.from(body) : body
      const length = bytes === undefined ? (ask.method === 'GET' ? {} : { 'content-length': '0' }) : lengthOf(bytes)
      const sent = request(new URL(this.#pathOf(ask.path), this.url), {
        agent,
        ...(this.url.hostname.endsWith('.localhost') ? { lookup: thisMachine } : {}),
        method: ask.method,
        headers: { 'caisson-client': '1', ...ask.headers, ...length },
      })
      let answered: IncomingMessage | undefined
      const stop = onAbort(signal, () => {
        answered?.destroy(cancelled(signal))
        sent.destroy(cancelled(signal))
      })
      sent.on('close', stop)
      sent.on('socket', (socket) => socket.setKeepAlive(true, PROBE_AFTER_MS))
      sent.on('error', (cause) => reject(cause instanceof Fault ? cause : new Unanswered(cause, sent.reusedSocket)))
      sent.on('response', (answer) => {
        answered = answer
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: this.#pieces(answer, sent) })
      })
      // An error of the body is the request's failure; a refused body is explained by the response.
      this.#write(sent, bytes).catch((failure: unknown) => {
        sent.destroy(failure instanceof Error ? failure : new Error(String(failure)))
        reject(failure)
      })
    })
  }

  async #write(sent: ClientRequest, body: Uint8Array | AsyncIterable<Uint8Array> | undefined): Promise<void> {
    if (body === undefined || body instanceof Uint8Array) {
      sent.end(body)
      return
    }
    let over = false
    const wake: (() => void)[] = []
    const resume = () => {
      for (const call of wake.splice(0)) call()
    }
    const finish = () => {
      over = true
      resume()
    }
    // Once there is a response, nobody reads the rest of the body.
    sent.on('drain', resume).on('close', finish).on('response', finish)
    for await (const piece of body) {
      if (over) return
      if (!sent.write(piece)) await new Promise<void>((free) => (over ? free() : wake.push(free)))
    }
    sent.end()
  }

  async *#pieces(answer: IncomingMessage, sent: ClientRequest): AsyncGenerator<Uint8Array> {
    try {
      yield* answer as AsyncIterable<Buffer>
    } catch (cause) {
      throw cause instanceof Fault ? cause : this.#broken(cause)
    } finally {
      // The connection is reused only if both sides have finished; otherwise it is discarded.
      if (!answer.complete || !sent.writableEnded) sent.destroy()
    }
  }

  async #open(): Promise<Transport> {
    this.#transport ??= this.url.protocol === 'https:' ? secure(this.#ca) : plain()
    return await this.#transport
  }

  #pathOf(path: string): string {
    return `${this.url.pathname.replace(/\/+$/, '')}${path}`
  }

  #unreachable(cause: unknown): Fault {
    const distrust = /CERT|SIGNATURE/.test(codeOf(cause)) ? { hint: 'Name the certificate of its authority in NODE_EXTRA_CA_CERTS.' } : {}
    return new Fault('DAEMON_UNREACHABLE', `${this.url.origin} does not answer (${reasonOf(cause)})`, { ...distrust, cause })
  }

  #broken(cause: unknown): Fault {
    return new Fault('DAEMON_UNREACHABLE', `${this.url.origin} broke off its answer (${reasonOf(cause)})`, { cause })
  }
}

/** RFC 6761: names below `localhost` are this machine, whatever its resolver says. */
const thisMachine: LookupFunction = (_name, options, answer) => {
  if (options.all === true) answer(null, [{ address: '127.0.0.1', family: 4 }])
  else answer(null, '127.0.0.1', 4)
}

/** There was no response. */
class Unanswered extends Error {
  readonly wasKept: boolean

  constructor(cause: Error, wasKept: boolean) {
    super(cause.message, { cause })
    this.wasKept = wasKept
  }
}

async function plain(): Promise<Transport> {
  const { Agent, request } = await import('node:http')
  return { agent: new Agent({ keepAlive: true }), request }
}

async function secure(ca: string | undefined): Promise<Transport> {
  const [{ Agent, request }, { rootCertificates }] = await Promise.all([import('node:https'), import('node:tls')])
  const trusted = ca === undefined ? {} : { ca: [...rootCertificates, ca] }
  return { agent: new Agent({ keepAlive: true, ...trusted }), request }
}

function daemonUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url !== undefined && (url.protocol === 'http:' || url.protocol === 'https:') && url.search === '' && url.hash === '') return url
  throw new Fault('BAD_REQUEST', `${JSON.stringify(text)} is not the address of a daemon`, {
    hint: 'Write it like http://127.0.0.1:7007 (CAISSON_URL).',
  })
}

function lengthOf(body: Uint8Array | AsyncIterable<Uint8Array>): Record<string, string> {
  return body instanceof Uint8Array ? { 'content-length': String(body.byteLength) } : {}
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : ''
}

/** Of several attempted addresses, the first error says enough. */
function reasonOf(cause: unknown): string {
  if (cause instanceof AggregateError) return reasonOf(cause.errors[0])
  return codeOf(cause) === 'ECONNREFUSED' ? 'connection refused' : cause instanceof Error ? cause.message : String(cause)
}
