import { SpecDaemon } from './daemon.ts'

const never = new AbortController().signal
const WISH = { templateID: 'code-interpreter-v1', timeout: 3600 }

interface Made {
  sandboxID: string
  envdAccessToken: string
}

/** A sandbox, spoken to on the port of its code interpreter. */
export class InterpreterServer implements AsyncDisposable {
  readonly daemon: SpecDaemon
  readonly id: string
  readonly token: string
  readonly #end: () => Promise<unknown>

  private constructor(daemon: SpecDaemon, made: Made, end: () => Promise<unknown>) {
    this.daemon = daemon
    this.id = made.sandboxID
    this.token = made.envdAccessToken
    this.#end = end
  }

  /** Of a daemon of its own, which ends with it. */
  static async open(): Promise<InterpreterServer> {
    const daemon = await SpecDaemon.open()
    return new InterpreterServer(daemon, await made(daemon, '/v2/sandboxes', WISH), () => daemon[Symbol.asyncDispose]())
  }

  /** Another sandbox of the same daemon. */
  beside(wish: { envVars?: Record<string, string> } = {}): Promise<InterpreterServer> {
    return this.#beside('/v2/sandboxes', { ...WISH, ...wish })
  }

  /** With limits, which E2B has no word for. */
  limited(limits: { memoryMiB: number; diskMiB: number; outputMiB: number }): Promise<InterpreterServer> {
    return this.#beside('/caisson/v1/sandboxes', { profile: 'e2b', template: 'code-interpreter', ...limits })
  }

  async #beside(path: string, wish: object): Promise<InterpreterServer> {
    const { daemon } = this
    const other = await made(daemon, path, wish)
    return new InterpreterServer(daemon, other, () => daemon.fetch(`/sandboxes/${other.sandboxID}`, { method: 'DELETE' }))
  }

  /** The same sandbox, of another daemon on the same state folder. */
  of(daemon: SpecDaemon): InterpreterServer {
    return new InterpreterServer(daemon, { sandboxID: this.id, envdAccessToken: this.token }, () => daemon[Symbol.asyncDispose]())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end()
  }

  /** Of the control plane: `POST /sandboxes/:id/:verb`, or `DELETE /sandboxes/:id`. */
  async control(verb: 'pause' | 'connect' | 'kill', body: object = {}): Promise<void> {
    const path = verb === 'connect' ? `/v2/sandboxes/${this.id}/connect` : `/sandboxes/${this.id}${verb === 'kill' ? '' : `/${verb}`}`
    const more = verb === 'kill' ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
    const response = await this.daemon.fetch(path, { method: verb === 'kill' ? 'DELETE' : 'POST', ...more })
    if (!response.ok) throw new Error(`${verb}: ${response.status} ${await response.text()}`)
    await response.text()
  }

  call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}, signal: AbortSignal = never): Promise<Response> {
    const sent = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }
    const to = { 'content-type': 'application/json', 'e2b-sandbox-id': this.id, 'e2b-sandbox-port': '49999' }
    return fetch(`${this.daemon.url}${path}`, { method, headers: { ...to, ...headers }, signal, ...sent })
  }

  execute(body: unknown, headers: Record<string, string> = {}, signal: AbortSignal = never): Promise<Response> {
    return this.call('POST', '/execute', body, { 'x-access-token': this.token, ...headers }, signal)
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

async function made(daemon: SpecDaemon, path: string, wish: object): Promise<Made> {
  const init = { method: 'POST', body: JSON.stringify(wish), headers: { 'content-type': 'application/json' } }
  const response = await daemon.fetch(path, init)
  if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`)
  return (await response.json()) as Made
}
