import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer as createHttpServer, type IncomingHttpHeaders } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

/** What a place of these specs was sent. */
export class Received {
  readonly lines: string[] = []
  #waiting: (() => void)[] = []

  add(...lines: string[]): void {
    this.lines.push(...lines)
    for (const look of this.#waiting) look()
  }

  /** Numbers of the records, as they came. */
  get numbers(): number[] {
    return this.lines.map((line) => JSON.parse(line).seq)
  }

  /** Until that record has come. */
  async until(seq: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const look = () => {
        if (this.lines.some((line) => line.startsWith(`{"seq":${seq},`))) resolve()
      }
      this.#waiting.push(look)
      look()
    })
  }
}

/** A web server that takes what is posted, as `answer` says: the status, or null to hang up in the middle. */
export class WebReceiver implements AsyncDisposable {
  readonly received = new Received()
  readonly posts: { path: string; headers: IncomingHttpHeaders; body: string; status: number | null }[] = []
  answer: () => number | null = () => 200
  /** Of a body, the lines. */
  linesOf: (body: string) => string[] = (body) => body.split('\n').slice(0, -1)
  readonly #server = createHttpServer((request, reply) => {
    const parts: Buffer[] = []
    request.on('data', (part) => parts.push(part))
    request.on('end', () => {
      const body = Buffer.concat(parts).toString()
      const status = this.answer()
      this.posts.push({ path: request.url ?? '', headers: request.headers, body, status })
      if (status === null) {
        request.socket.destroy()
        return
      }
      reply.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end()
      if (status === 200) this.received.add(...this.linesOf(body))
    })
  })

  static async open(port = 0): Promise<WebReceiver> {
    const receiver = new WebReceiver()
    receiver.#server.listen(port, '127.0.0.1')
    await once(receiver.#server, 'listening')
    return receiver
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** A syslog server that counts (RFC 6587), at a port or a local socket. */
export class StreamReceiver implements AsyncDisposable {
  readonly messages: string[] = []
  readonly received = new Received()
  readonly #sockets = new Set<Socket>()
  readonly #server = createServer((socket) => {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    let bytes = Buffer.alloc(0)
    socket.on('error', () => undefined)
    socket.on('data', (more: Buffer) => {
      bytes = Buffer.concat([bytes, more])
      for (;;) {
        const space = bytes.indexOf(' ')
        const length = Number(bytes.toString('latin1', 0, Math.max(space, 0)))
        if (space < 0 || bytes.length < space + 1 + length) return
        const message = bytes.toString('utf8', space + 1, space + 1 + length)
        bytes = bytes.subarray(space + 1 + length)
        this.messages.push(message)
        this.received.add(lineOf(message))
      }
    })
  })

  static async open(at: { path: string } | { port: 0; host: string }): Promise<StreamReceiver> {
    const receiver = new StreamReceiver()
    receiver.#server.listen(at)
    await once(receiver.#server, 'listening')
    return receiver
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** As a server does that starts anew. On return the other side has heard of it, as far as it is in this process. */
  async hangUp(): Promise<void> {
    const closed = [...this.#sockets].map((socket) => once(socket, 'close'))
    for (const socket of this.#sockets) socket.destroy()
    this.#sockets.clear()
    await Promise.all(closed)
    await pause(50)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hangUp()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

export async function udpReceiver() {
  const received = new Received()
  const messages: string[] = []
  const socket = createSocket('udp4')
  socket.on('message', (bytes) => {
    messages.push(bytes.toString())
    received.add(lineOf(bytes.toString()))
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return { received, messages, port: socket.address().port, [Symbol.asyncDispose]: async () => void socket.close() }
}

const DATAGRAMS = `
import socket, sys
here = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
here.bind(sys.argv[1])
print("listening", flush=True)
while True:
    print(here.recv(1 << 20).decode(), flush=True)
`

/** A local socket for datagrams, as the syslog of most machines has one. */
export async function datagramReceiver(path: string) {
  const received = new Received()
  const child = spawn('python3', ['-c', DATAGRAMS, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  let isListening = () => undefined as unknown
  const listening = new Promise<void>((resolve) => {
    isListening = resolve
  })
  child.stdout.setEncoding('utf8').on('data', (more: string) => {
    const lines = (text + more).split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) line === 'listening' ? isListening() : received.add(lineOf(line))
  })
  await listening
  const ended = once(child, 'close')
  return {
    received,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** What is behind the structured data. */
function lineOf(message: string): string {
  return message.slice(message.indexOf('] ') + 2)
}
