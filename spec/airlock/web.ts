import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer as createPlain, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createSecureServer, type Http2SecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import { createServer as createSecure } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { makeAuthority, makeServerIdentity } from '../../host/authority/certificates.ts'

export type Asked = IncomingMessage | Http2ServerRequest
export type Answering = ServerResponse | Http2ServerResponse

export interface Heard {
  readonly version: string
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  body: string
  trailers: Readonly<Record<string, string | string[] | undefined>>
}

/** An authority of a spec's own; servers rest on it, and the host is told to believe it. */
export class Authority implements AsyncDisposable {
  readonly path: string
  readonly #folder: string
  readonly #identity: { key: string; cert: string }

  private constructor(folder: string, identity: { key: string; cert: string }) {
    this.#folder = folder
    this.#identity = identity
    this.path = join(folder, 'ca.pem')
  }

  static async open(): Promise<Authority> {
    const folder = await mkdtemp(join(tmpdir(), 'cai-'))
    const authority = new Authority(folder, await makeAuthority('spec'))
    await writeFile(authority.path, authority.#identity.cert)
    return authority
  }

  identity(names: string[]) {
    return makeServerIdentity(this.#identity, { names, addresses: ['127.0.0.1'] })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }
}

interface WebOptions {
  /** In the clear where there is none. */
  identity?: { key: string; cert: string }
  /** Of TLS; absent: both versions of HTTP. */
  protocols?: string[]
  serve?: (request: Asked, response: Answering, heard: Heard) => void
  upgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
}

/** A server of the host's that remembers every byte and every request. */
export class Web implements Disposable {
  readonly port: number
  readonly heard: Heard[] = []
  connections = 0
  bytes = 0
  readonly #server: Server | Http2SecureServer
  readonly #peers = new Set<Socket>()

  private constructor(server: Server | Http2SecureServer) {
    this.#server = server
    this.port = (server.address() as AddressInfo).port
  }

  static async open({ identity, protocols = ['h2', 'http/1.1'], serve, upgrade }: WebOptions = {}): Promise<Web> {
    let web: Web | undefined
    const answer = (request: Asked, response: Answering) => {
      const { method = '', url = '', headers, httpVersion } = request
      const heard: Heard = { version: httpVersion, method, path: url, headers, body: '', trailers: {} }
      web?.heard.push(heard)
      if (serve !== undefined && headers['x-early'] !== undefined) return serve(request, response, heard)
      request.on('data', (bytes: Buffer) => {
        heard.body += bytes.toString('latin1')
      })
      request.on('end', () => {
        heard.trailers = request.trailers
        if (serve !== undefined) serve(request, response, heard)
        else response.end(`hello from ${headers[':authority'] ?? headers.host}\n`)
      })
    }
    const server: Server | Http2SecureServer =
      identity === undefined
        ? createPlain(answer)
        : protocols.includes('h2')
          ? createSecureServer({ ...identity, allowHTTP1: protocols.includes('http/1.1') }, answer)
          : createSecure({ ...identity }, answer)
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => upgrade?.(request, socket, head))
    server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      response.writeContinue()
      answer(request, response)
    })
    server.on('connection', (peer: Socket) => {
      if (web !== undefined) web.#meet(peer)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    web = new Web(server)
    return web
  }

  #meet(peer: Socket): void {
    this.connections += 1
    this.#peers.add(peer)
    peer
      .on('error', () => peer.destroy())
      .on('close', () => {
        this.bytes += peer.bytesRead
        this.#peers.delete(peer)
      })
  }

  [Symbol.dispose](): void {
    this.#server.close()
    for (const peer of this.#peers) peer.destroy()
  }
}
