import { SpecDaemon } from './daemon.ts'

export interface Envelope {
  flags: number
  // biome-ignore lint/suspicious/noExplicitAny: what came over the wire, to be looked at.
  json: any
}

export interface Answer {
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: what came over the wire, to be looked at.
  json: any
}

/** A sandbox of a real daemon, as a client sees it that writes E2B's wire by hand. */
export class EnvdSandbox implements AsyncDisposable {
  readonly daemon: SpecDaemon
  readonly id: string
  readonly token: string

  private constructor(daemon: SpecDaemon, id: string, token: string) {
    this.daemon = daemon
    this.id = id
    this.token = token
  }

  static async open(wish: Record<string, unknown> = {}): Promise<EnvdSandbox> {
    const daemon = await SpecDaemon.open()
    return EnvdSandbox.on(daemon, wish)
  }

  static async on(daemon: SpecDaemon, wish: Record<string, unknown> = {}): Promise<EnvdSandbox> {
    const made = await daemon.fetch('/v2/sandboxes', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ templateID: 'base', timeout: 300, ...wish }),
    })
    const { sandboxID, envdAccessToken, message } = (await made.json()) as Record<string, string>
    if (sandboxID === undefined || envdAccessToken === undefined) throw new Error(`no sandbox: ${message}`)
    return new EnvdSandbox(daemon, sandboxID, envdAccessToken)
  }

  /** The same sandbox, of another daemon on the same state folder. */
  of(daemon: SpecDaemon): EnvdSandbox {
    return new EnvdSandbox(daemon, this.id, this.token)
  }

  get address(): Record<string, string> {
    return { 'e2b-sandbox-id': this.id, 'e2b-sandbox-port': '49983' }
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { ...this.address, 'x-access-token': this.token, ...(init.headers as Record<string, string>) }
    return fetch(`${this.daemon.url}${path}`, { ...init, headers })
  }

  async rpc(method: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const reply = await this.fetch(`/${method}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'connect-protocol-version': '1', ...headers },
      body: JSON.stringify(body),
    })
    return { status: reply.status, headers: reply.headers, json: await reply.json() }
  }

  /** Every envelope as it comes; rejects when the connection breaks. */
  async *stream(method: string, body: unknown, headers: Record<string, string> = {}, signal?: AbortSignal): AsyncGenerator<Envelope> {
    const reply = await this.fetch(`/${method}`, {
      method: 'POST',
      headers: { 'content-type': 'application/connect+json', 'connect-protocol-version': '1', ...headers },
      body: envelope(body),
      ...(signal === undefined ? {} : { signal }),
    })
    if (reply.status !== 200 || reply.body === null) throw new Error(`${method}: ${reply.status} ${await reply.text()}`)
    yield* envelopesOf(reply.body)
  }

  /** A command of Bash, to its end. */
  async run(command: string, more: Record<string, unknown> = {}, headers: Record<string, string> = {}): Promise<Run> {
    return collect(this.stream('process.Process/Start', start(command, more), headers))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]()
  }
}

export function start(command: string, more: Record<string, unknown> = {}) {
  const { envs, cwd, ...rest } = more
  return { process: { cmd: '/bin/bash', args: ['-l', '-c', command], envs, cwd }, stdin: false, ...rest }
}

export interface Run {
  pid: number
  stdout: string
  stderr: string
  pty: string
  // biome-ignore lint/suspicious/noExplicitAny: what came over the wire, to be looked at.
  end: any
  // biome-ignore lint/suspicious/noExplicitAny: what came over the wire, to be looked at.
  error: any
  keepalives: number
}

export async function collect(envelopes: AsyncIterable<Envelope>): Promise<Run> {
  const run: Run = { pid: 0, stdout: '', stderr: '', pty: '', end: undefined, error: undefined, keepalives: 0 }
  for await (const { flags, json } of envelopes) {
    if (flags === 2) {
      run.error = json.error
      continue
    }
    const { start, data, end, keepalive } = json.event
    if (start !== undefined) run.pid = start.pid
    if (end !== undefined) run.end = end
    if (keepalive !== undefined) run.keepalives += 1
    for (const channel of ['stdout', 'stderr', 'pty'] as const) {
      if (data?.[channel] !== undefined) run[channel] += Buffer.from(data[channel], 'base64').toString('latin1')
    }
  }
  return run
}

export function envelope(json: unknown, flags = 0): Buffer<ArrayBuffer> {
  const body = Buffer.from(JSON.stringify(json))
  const whole = Buffer.alloc(5 + body.length)
  whole.writeUInt8(flags, 0)
  whole.writeUInt32BE(body.length, 1)
  body.copy(whole, 5)
  return whole
}

export async function* envelopesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<Envelope> {
  let held = Buffer.alloc(0)
  for await (const piece of body) {
    held = Buffer.concat([held, piece])
    while (held.length >= 5 && held.length >= 5 + held.readUInt32BE(1)) {
      const end = 5 + held.readUInt32BE(1)
      yield { flags: held.readUInt8(0), json: JSON.parse(held.toString('utf8', 5, end)) }
      held = held.subarray(end)
    }
  }
}

export const base64 = (text: string) => Buffer.from(text).toString('base64')
export const basic = (user: string) => ({ authorization: `Basic ${base64(`${user}:`)}` })

/** Starts a command and returns when it has said that it runs. */
export async function begin(sandbox: EnvdSandbox, body: unknown, headers: Record<string, string> = {}) {
  const gone = new AbortController()
  const events = sandbox.stream('process.Process/Start', body, headers, gone.signal)
  const first = (await events.next()).value as Envelope
  return { pid: first.json.event.start.pid as number, events, leave: () => gone.abort() }
}

/** The first event of that kind. */
export async function until(events: AsyncGenerator<Envelope>, isThere: (event: Envelope['json']) => boolean): Promise<Envelope['json']> {
  for (;;) {
    const next = await events.next()
    if (next.done === true) throw new Error('the stream ended first')
    if (next.value.flags === 0 && isThere(next.value.json.event)) return next.value.json.event
  }
}

export const printed = (text: string) => (event: Envelope['json']) =>
  Buffer.from(event.data?.stdout ?? event.data?.pty ?? '', 'base64')
    .toString()
    .includes(text)
