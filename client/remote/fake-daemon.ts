import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { envelope } from './framing.ts'
import { RemoteDoor } from './remote-door.ts'
import type { RemoteHeld } from './remote-held.ts'

/** A received request with its body. */
export interface Came {
  request: IncomingMessage
  reply: ServerResponse
  body: Buffer
}

/** Answers by `METHOD /path`, without the query. Without `whole`, a handler gets the request before its body has arrived. */
export type Script = Record<string, (came: Came) => unknown>

export const ID = 'i0123456789abcdefghi'

/** For specs: a server that answers as its script says, and records the requests. */
export class FakeDaemon implements AsyncDisposable {
  readonly asked: { line: string; headers: IncomingMessage['headers']; body: string }[] = []
  readonly sockets = new Set<Socket>()
  readonly script: Script
  /** Requests whose body the handler reads itself. */
  readonly streamed = new Set<string>()
  #server: Server
  port = 0

  private constructor(script: Script) {
    this.script = script
    this.#server = this.#made()
  }

  static async open(script: Script): Promise<FakeDaemon> {
    const daemon = new FakeDaemon(script)
    await daemon.listen(0)
    return daemon
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get door(): RemoteDoor {
    return new RemoteDoor({ url: this.url, key: 'e2b_abc' })
  }

  /** A sandbox as `create` returns it. */
  async held(): Promise<RemoteHeld> {
    this.script['POST /caisson/v1/sandboxes'] ??= ({ reply }) => json(reply, 201, { sandboxID: ID, envdAccessToken: 'token' })
    return await this.door.create({}, new AbortController().signal)
  }

  /** The requests to one route, in order. */
  of(line: string): { headers: IncomingMessage['headers']; body: string; line: string }[] {
    return this.asked.filter((asked) => asked.line === line || asked.line.startsWith(`${line}?`))
  }

  async listen(port = this.port): Promise<void> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as AddressInfo).port
  }

  /** Imitates a killed daemon: every connection breaks off, and nobody listens. */
  async die(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.sockets) socket.resetAndDestroy()
    await closed
    this.#server = this.#made()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.die()
  }

  #made(): Server {
    const server = createServer((request, reply) => void this.#answer(request, reply))
    server.on('connection', (socket) => {
      this.sockets.add(socket)
      socket.on('close', () => this.sockets.delete(socket))
    })
    return server
  }

  async #answer(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const line = `${request.method} ${request.url}`
    const route = line.split('?', 1)[0] ?? ''
    const pieces: Buffer[] = []
    if (!this.streamed.has(route)) for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece)
    const body = Buffer.concat(pieces)
    this.asked.push({ line, headers: request.headers, body: body.toString('utf8') })
    const handle = this.script[route]
    if (handle === undefined) json(reply, 404, { code: 404, message: `no route ${line}`, error_code: 'not_found' })
    else await handle({ request, reply, body })
  }
}

export function json(reply: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  reply.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

/** Messages of a Connect stream, with an end message unless the last one is the end. */
export function messages(...all: object[]): Buffer {
  return Buffer.concat(all.map((message) => envelope(JSON.stringify(message))))
}

export function endOfStream(end: object = {}): Buffer {
  const whole = envelope(JSON.stringify(end))
  whole[0] = 2
  return whole
}

/** Writes the bytes one by one, to test every possible split. */
export async function crumble(reply: ServerResponse, bytes: Buffer): Promise<void> {
  for (const byte of bytes) {
    reply.write(Uint8Array.of(byte))
    await new Promise((resolve) => setImmediate(resolve))
  }
}

export function unaborted(): AbortSignal {
  return new AbortController().signal
}
