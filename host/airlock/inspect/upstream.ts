import type { ClientHttp2Session } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { onAbort } from '../../lifetimes.ts'
import { type Destination, dial, type ServerTrust } from './dial.ts'
import type { Answer, Asking } from './exchange.ts'
import { askHttp1, keptConnections, type Sent, type Upgraded, upgradeHttp1 } from './to-http1.ts'
import { askHttp2, type Http2Sent, isUsable, openHttp2 } from './to-http2.ts'

/** One server as reached by one sandbox. Its connections are kept, and used only for requests of this sandbox. */
export class Upstream {
  readonly #destination: Destination
  readonly #scheme: 'http' | 'https'
  readonly #trust: ServerTrust
  readonly #over: AbortSignal
  readonly #agent = keptConnections(() => this.#connect(['http/1.1']))
  /** Connections dialled for HTTP/2 whose server only speaks HTTP/1.1. */
  readonly #spare: Duplex[] = []
  #session: Promise<ClientHttp2Session | undefined> | undefined
  #speaksHttp1 = false
  #ticket: Buffer | undefined

  /** `over`: aborts everything that is running, WebSockets too, and prevents new requests. */
  constructor(destination: Destination, scheme: 'http' | 'https', { trust, over }: { trust: ServerTrust; over: AbortSignal }) {
    this.#destination = destination
    this.#scheme = scheme
    this.#trust = trust
    this.#over = over
  }

  /** Uses the request's HTTP version, or 1.1 if the server speaks no other. Rejects if the server cannot be reached or authenticated. */
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
    // If several requests find the session gone, only one opens a new one.
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
    const socket = await dial(this.#destination, this.#over)
    if (this.#scheme === 'http') return this.#until(socket)
    const { name } = this.#destination
    const about = { name, address: socket.remoteAddress ?? '', protocols, session: this.#ticket }
    const secured: TLSSocket = await this.#trust.secured(socket, about, this.#over)
    secured.on('session', (ticket) => {
      this.#ticket = ticket
    })
    return this.#until(secured)
  }

  #until<S extends Duplex>(socket: S): S {
    socket.on('error', () => socket.destroy())
    socket.on(
      'close',
      onAbort(this.#over, () => socket.destroy()),
    )
    if (this.#over.aborted) socket.destroy()
    return socket
  }

  /** No new requests; running ones finish, and their connections close with them. */
  letGo(): void {
    for (const socket of [...this.#spare, ...Object.values(this.#agent.freeSockets).flatMap((free) => free ?? [])]) socket.destroy()
    // A failed session has been reported to the request that opened it.
    this.#session?.then((session) => session?.close()).catch(() => undefined)
  }
}
