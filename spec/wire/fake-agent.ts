import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Frame } from '@caisson/wire/agent'
import { AgentConnection } from '../../host/agent/connection.ts'
import { encodeFrame, FrameDecoder, type FrameInit } from '../../host/agent/frames.ts'

type Body = NonNullable<FrameInit['body']>

/** The other end of an agent connection, over a real socket, that says whatever it is told to. */
export class FakeAgent implements AsyncDisposable {
  readonly connection: AgentConnection
  /** Chunks as they came, to see what was sent together. */
  readonly chunks: Frame[][] = []
  readonly #folder: string
  readonly #server: Server
  #socket: Socket | undefined
  #wake: (() => void)[] = []

  static async start(): Promise<FakeAgent> {
    const folder = mkdtempSync(join(tmpdir(), 'agent-'))
    const path = join(folder, 's')
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(path, resolve))
    return new FakeAgent(folder, server, path)
  }

  private constructor(folder: string, server: Server, path: string) {
    this.#folder = folder
    this.#server = server
    const decoder = new FrameDecoder()
    server.on('connection', (socket) => {
      this.#socket = socket
      socket.on('error', () => undefined)
      socket.on('data', (chunk) => {
        this.chunks.push([...decoder.push(chunk)])
        this.#wakeAll()
      })
      socket.on('close', () => this.#wakeAll())
    })
    this.connection = AgentConnection.to(path)
  }

  /** Whether it takes what comes. */
  listen(wanted: boolean): void {
    if (wanted) this.#socket?.resume()
    else this.#socket?.pause()
  }

  get frames(): Frame[] {
    return this.chunks.flat()
  }

  get isClosed(): boolean {
    return this.#socket?.destroyed ?? false
  }

  /** Waits until the host has sent a frame like that. */
  async heard(kind: string, nth = 1): Promise<Frame> {
    return this.until(() => {
      const found = this.frames.filter(({ body }) => body.case === kind || (body.case === 'open' && body.value.operation.case === kind))
      return found[nth - 1]
    })
  }

  async until<T>(what: () => T | undefined | false): Promise<T> {
    for (;;) {
      const found = what()
      if (found !== undefined && found !== false) return found
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }

  say(stream: number, body: Body): void {
    this.#socket?.write(encodeFrame({ stream, body }))
  }

  opened(stream: number, result: NonNullable<Extract<Body, { case: 'opened' }>['value']>['result'] & object): void {
    this.say(stream, { case: 'opened', value: { result } as never })
  }

  close(stream: number, code = '', message = ''): void {
    this.say(stream, { case: 'close', value: { code, message } })
  }

  hangUp(): void {
    this.#socket?.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.connection.close()
    this.#socket?.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
    rmSync(this.#folder, { recursive: true })
  }

  #wakeAll(): void {
    const waiting = this.#wake
    this.#wake = []
    for (const wake of waiting) wake()
  }
}
