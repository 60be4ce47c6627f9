import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { CreateRequest } from '@caisson/wire'
import type { Visit } from '../../host/api/call.ts'
import { serveEnvd } from '../../host/api/envd/envd.ts'
import type { LiveSandbox } from '../../host/sandbox/life.ts'
import type { SandboxRecord } from '../../host/sandbox/record.ts'
import { SpecHost } from '../walls/home.ts'

export const TOKEN = '0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0'

/** One sandbox, and its agent's port on a plain HTTP server. */
export class EnvdServer implements AsyncDisposable {
  readonly live: LiveSandbox
  readonly record: SandboxRecord
  readonly host: SpecHost
  readonly #server: Server
  readonly #leaves = new Set<() => void>()

  private constructor(host: SpecHost, live: LiveSandbox, record: SandboxRecord) {
    this.host = host
    this.live = live
    this.record = record
    this.#server = createServer((request, reply) => {
      const gone = new AbortController()
      reply.once('close', () => gone.abort())
      const { searchParams } = new URL(request.url ?? '', 'http://envd')
      const onLeave = (leave: () => void) => {
        this.#leaves.add(leave)
        return () => this.#leaves.delete(leave)
      }
      const visit = {
        ...{ request, reply, query: searchParams, signal: gone.signal, params: {}, port: 49983 },
        ...{ rooms: { domain: null }, entered: { record, live, onLeave } },
      } as unknown as Visit
      void serveEnvd(visit)
    })
  }

  static async open(request: CreateRequest = {}, changes: Partial<SandboxRecord> = {}): Promise<EnvdServer> {
    const host = await SpecHost.open()
    const signal = new AbortController().signal
    const wish: CreateRequest = { template: 'base', timeoutMs: null, outputMiB: null, env: { GREETING: 'hello' }, ...request }
    const live = (await host.door.create(wish, signal)) as LiveSandbox
    const plan = await host.door.plan(wish, signal)
    const record = { id: live.id, templateId: 'base', plan, env: wish.env ?? {}, accessToken: TOKEN, startedMs: Date.now(), ...changes }
    const envd = new EnvdServer(host, live, record as SandboxRecord)
    await new Promise<void>((resolve) => envd.#server.listen(0, '127.0.0.1', resolve))
    return envd
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** As when the sandbox is paused or ends. */
  leave(): void {
    for (const leave of [...this.#leaves]) leave()
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, { ...init, headers: { 'x-access-token': TOKEN, ...(init.headers as Record<string, string>) } })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await this.host[Symbol.asyncDispose]()
  }
}
