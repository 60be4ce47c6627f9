import type { ClientHttp2Session } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { type Destination, dial, type ServerTrust } from './dial.ts'
import type { Answer, Asking } from './exchange.ts'
import { askHttp1, KeptConnections, type Sent, type Upgraded, upgradeHttp1 } from './to-http1.ts'
import { askHttp2, type Http2Sent, isUsable, openHttp2 } from './to-http2.ts'

/** One server as one sandbox reaches it: its connections are kept, for the requests of this sandbox alone. */
export class Upstream implements Disposable {
  readonly #destination: Destination
  readonly #scheme: 'http' | 'https'
  readonly #trust: ServerTrust
  readonly #over = new AbortController()
  readonly #agent = new KeptConnections(() => this.#connect(['http/1.1']))
  /** Dialled for HTTP/2, and the server speaks the older one. */
  readonly #spare: Duplex[] = []
  #session: Promise<ClientHttp2Session | undefined> | undefined
  #speaksHttp1 = false
  #ticket: Buffer | undefined

  constructor(destination: Destination, scheme: 'http' | 'https', trust: ServerTrust) {
    this.#destination = destination
    this.#scheme = scheme
    this.#trust = trust
  }

  /** In the version that the question came in, or in 1.1 where the server speaks no other. Rejects when the server cannot be reached or believed. */
  async ask(asking: Asking): Promise<Sent<Answer> | Http2Sent> {
    const session = asking.question.version === 2 ? await this.#http2() : undefined
    return session === undefined ? askHttp1(this.#agent, asking) : askHttp2(session, asking)
  }

  upgrade(asking: Asking, protocol: string): Promise<Upgraded> {
    return upgradeHttp1(() => this.#connect(['http/1.1']), asking, protocol)
  }

  async #http2(): Promise<ClientHttp2Session | undefined> {
    if (this.#speaksHttp1) return undefined
    const before = this.#session
    const known = await before
    if (known !== undefined && isUsable(known)) return known
    // Of several that find it gone, one begins anew.
    const session = this.#session === before ? this.#begin() : this.#session
    this.#session = session
    try {
      return await session
    } catch (failure) {
      if (this.#session === session) this.#session = undefined
      throw failure
    }
  }

  async #begin(): Promise<ClientHttp2Session | undefined> {
    const socket = await this.#connect(['h2', 'http/1.1'])
    if (this.#scheme === 'http' || ('alpnProtocol' in socket && socket.alpnProtocol === 'h2')) return openHttp2(socket, this.#scheme)
    this.#speaksHttp1 = true
    this.#spare.push(socket)
    return undefined
  }

  async #connect(protocols: string[]): Promise<Duplex> {
    const spare = this.#spare.pop()
    if (spare !== undefined && !spare.destroyed) return spare
    const { signal } = this.#over
    const socket = await dial(this.#destination, signal)
    if (this.#scheme === 'http') return this.#until(socket)
    const { name } = this.#destination
    const about = { name, address: socket.remoteAddress ?? '', protocols, session: this.#ticket }
    const secured: TLSSocket = await this.#trust.secured(socket, about, signal)
    secured.on('session', (ticket) => {
      this.#ticket = ticket
    })
    return this.#until(secured)
  }

  #until<S extends Duplex>(socket: S): S {
    socket.on('error', () => socket.destroy())
    return socket
  }

  /** Requests that are under way end too. */
  [Symbol.dispose](): void {
    this.#over.abort()
    this.#agent.destroy()
    for (const socket of this.#spare) socket.destroy()
    // One that never came to be has been told to whoever asked for it.
    this.#session?.then((session) => session?.destroy()).catch(() => undefined)
  }
}
