import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serveInterpreter } from '../../host/api/interpreter/interpreter.ts'
import type { Entered } from '../../host/sandbox/fleet.ts'
import type { LiveSandbox } from '../../host/sandbox/life.ts'
import type { CreateRequest } from '../../wire/index.ts'
import { SpecHost } from '../walls/home.ts'

const never = new AbortController().signal
export const TOKEN = 'a token that only this spec knows'

/** A sandbox's code interpreter on a socket of its own. */
export class InterpreterServer implements AsyncDisposable {
  readonly url: string
  readonly live: LiveSandbox
  /** What the daemon would do when the sandbox is paused. */
  readonly leave: () => void
  readonly #host: SpecHost
  readonly #server: Server

  private constructor(host: SpecHost, live: LiveSandbox, server: Server, leave: () => void) {
    this.#host = host
    this.live = live
    this.#server = server
    this.leave = leave
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  static async open(request: CreateRequest = {}): Promise<InterpreterServer> {
    const host = await SpecHost.open()
    const live = (await host.door.create(request, never)) as LiveSandbox
    const leavers = new Set<() => void>()
    const leave = () => {
      for (const one of leavers) one()
    }
    void live.ended.then(leave)
    const entered = {
      record: { id: live.id, accessToken: TOKEN },
      live,
      onLeave: (one: () => void) => {
        leavers.add(one)
        return () => leavers.delete(one)
      },
    } as unknown as Entered
    const server = createServer((request, reply) => {
      const gone = new AbortController()
      reply.on('close', () => gone.abort())
      const visit = { entered, port: 49999, request, reply, signal: gone.signal, params: {}, query: new URLSearchParams() }
      serveInterpreter(visit as never).catch(() => reply.destroy())
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new InterpreterServer(host, live, server, leave)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await this.live.kill(never)
    await this.#host[Symbol.asyncDispose]()
  }

  call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}, signal: AbortSignal = never): Promise<Response> {
    const sent = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }
    return fetch(`${this.url}${path}`, { method, headers: { 'content-type': 'application/json', ...headers }, signal, ...sent })
  }

  execute(body: unknown, headers: Record<string, string> = {}, signal: AbortSignal = never): Promise<Response> {
    return this.call('POST', '/execute', body, { 'x-access-token': TOKEN, ...headers }, signal)
  }

  /** The events of a whole run. */
  async run(code: string, more: Record<string, unknown> = {}, headers: Record<string, string> = {}): Promise<Event[]> {
    return events(await this.execute({ code, ...more }, headers))
  }
}

// biome-ignore lint/suspicious/noExplicitAny: what the specs are about.
export type Event = { type: string; [field: string]: any }

export async function events(response: Response): Promise<Event[]> {
  const text = await response.text()
  if (response.status !== 200) throw new Error(`${response.status} ${text}`)
  const lines = text.trimEnd().split('\n')
  return lines.map((line) => JSON.parse(line))
}
