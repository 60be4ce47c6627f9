import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { freshDeadline, onAbort } from '../../lifetimes.ts'
import { isTls, readClientHello } from './client-hello.ts'
import { Conversation } from './conversation.ts'
import type { ServerTrust } from './dial.ts'
import { Http1Askers } from './from-http1.ts'
import { askInHttp2 } from './from-http2.ts'
import type { Inspected } from './inspected.ts'
import type { Leaves } from './leaves.ts'
import { Upstreams } from './upstreams.ts'

/** Time for the first bytes, and for the handshake. */
const PATIENCE_MS = 10_000
const MAX_FIRST_BYTES = 32 * 1024
/** The gate resets it before this. */
const RESET_MS = 1000
/** A method and a space; no method in use is longer. */
const REQUEST_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}(?: |$)/
const METHOD_BYTES = 33
const HTTP2_PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
const PROTOCOLS = ['h2', 'http/1.1']
/** Fatal alert (RFC 8446, 6.2): unrecognized_name. */
const UNRECOGNIZED_NAME = Buffer.from([21, 3, 3, 0, 2, 2, 112])

export interface InspectorParts {
  readonly leaves: Leaves
  readonly trust: ServerTrust
}

/** Inspects connections: it terminates TLS, judges each request, and sends the allowed ones to the server that was checked. */
export class Inspector implements Disposable {
  readonly #leaves: Leaves
  readonly #upstreams: Upstreams
  readonly #http1 = new Http1Askers()

  constructor({ leaves, trust }: InspectorParts) {
    this.#leaves = leaves
    this.#upstreams = new Upstreams(trust)
  }

  /** `peer` is paused; anything already received must be in its buffer. */
  serve(peer: Socket, inspected: Inspected): void {
    const stop = onAbort(freshDeadline(PATIENCE_MS), () => notHttp(peer, inspected, 'it says nothing that would begin a request'))
    peer.on('close', stop)
    let said: Buffer = Buffer.alloc(0)
    const hear = (bytes: Buffer): void => {
      said = said.length === 0 ? bytes : Buffer.concat([said, bytes])
      const begin = beginningOf(said)
      if (begin === 'more' && said.length <= MAX_FIRST_BYTES) return
      stop()
      peer.off('data', hear).pause()
      if (begin === 'more' || begin === 'other') return notHttp(peer, inspected, 'it is neither TLS nor HTTP')
      peer.unshift(said)
      if (begin === 'tls') this.#secure(peer, inspected, said).catch(() => peer.destroy())
      else this.#converse(peer, inspected, 'http', begin)
    }
    peer.on('data', hear).resume()
  }

  /** The sandbox has ended or its rules have changed: none of its kept connections is used again. */
  forget(sandbox: string): void {
    this.#upstreams.forget(sandbox)
  }

  async #secure(peer: Socket, inspected: Inspected, said: Buffer): Promise<void> {
    const { name, address } = inspected
    const hello = readClientHello(said)
    if (typeof hello === 'string') return notHttp(peer, inspected, 'its TLS does not begin as TLS does')
    const isPlain = inspected.isProxied || (name !== null && hello.serverName !== name) || (name === null && hello.serverName !== null)
    if (isPlain) {
      const told = hello.serverName === null ? 'no server name' : JSON.stringify(hello.serverName.slice(0, 255))
      inspected.refuse(null, 'sni', `its TLS names ${told}, and the connection is for ${name ?? address}`)
      return void peer.end(UNRECOGNIZED_NAME)
    }
    const secureContext = await this.#leaves.contextFor(name, address ?? '')
    // A client that ends TLS reads nothing more.
    peer.allowHalfOpen = false
    const secured = new TLSSocket(peer, { isServer: true, secureContext, ALPNProtocols: PROTOCOLS })
    const stop = onAbort(freshDeadline(PATIENCE_MS), () => peer.destroy())
    // A client that does not trust the certificate sends an alert.
    secured.on('error', () => peer.destroy()).on('close', stop)
    peer.on('close', () => secured.destroy())
    secured.on('secure', () => {
      stop()
      // Two parsers might read the same hello differently.
      if ((secured as { servername?: string | false }).servername !== (hello.serverName ?? false)) return void peer.destroy()
      // Node sets this only on sockets of its own servers, and its HTTP/2 waits for it.
      Object.assign(secured, { secureConnecting: false })
      this.#converse(secured, inspected, 'https', secured.alpnProtocol === 'h2' ? 'http2' : 'http1')
    })
  }

  #converse(socket: Socket, inspected: Inspected, scheme: 'http' | 'https', version: 'http1' | 'http2'): void {
    const conversation = new Conversation(inspected, scheme, this.#upstreams)
    if (version === 'http1') this.#http1.take(socket, conversation)
    else askInHttp2(Object.assign(socket, { allowHalfOpen: false }), scheme, (question, reply) => conversation.asked(question, reply))
  }

  [Symbol.dispose](): void {
    this.#http1.close()
    this.#upstreams[Symbol.dispose]()
  }
}

function beginningOf(said: Buffer): 'tls' | 'http1' | 'http2' | 'other' | 'more' {
  const [first = 0] = said
  if (isTls(first)) {
    const hello = readClientHello(said)
    return hello === 'more' ? 'more' : 'tls'
  }
  const text = said.toString('latin1', 0, HTTP2_PREFACE.length)
  if (HTTP2_PREFACE.startsWith(text)) return text === HTTP2_PREFACE ? 'http2' : 'more'
  const line = said.toString('latin1', 0, METHOD_BYTES)
  if (!REQUEST_LINE.test(line)) return 'other'
  return line.includes(' ') ? 'http1' : 'more'
}

function notHttp(peer: Socket, inspected: Inspected, reason: string): void {
  inspected.refuse(null, 'inspect', `its rules look into connections, and this one cannot be: ${reason}`)
  peer.pause()
  inspected.reset()
  const stop = onAbort(freshDeadline(RESET_MS), () => peer.destroy())
  peer.on('close', stop)
}
