import type { SpecDaemon } from '../api/daemon.ts'

export interface Created {
  sandboxID: string
  envdAccessToken: string
}

/** A sandbox of a daemon, spoken to over plain HTTP as any client would. */
export class Guest {
  readonly id: string
  readonly token: string
  readonly #daemon: SpecDaemon
  /** Of its owner: undefined, the operator's. */
  readonly #key: string | undefined

  constructor(daemon: SpecDaemon, created: Created, key?: string) {
    this.#daemon = daemon
    this.#key = key
    this.id = created.sandboxID
    this.token = created.envdAccessToken
  }

  static async create(daemon: SpecDaemon, more: Record<string, unknown> = {}, key?: string): Promise<Guest> {
    const body = JSON.stringify({ templateID: 'base', timeout: 120, ...more })
    const response = await daemon.fetch('/v2/sandboxes', { method: 'POST', body, headers: ofKey(key) })
    if (response.status !== 201) throw new Error(`create: ${response.status} ${await response.text()}`)
    return new Guest(daemon, (await response.json()) as Created, key)
  }

  /** The same sandbox behind another daemon. */
  at(daemon: SpecDaemon): Guest {
    return new Guest(daemon, { sandboxID: this.id, envdAccessToken: this.token }, this.#key)
  }

  /** A request to a port of it. */
  async visit(port: number, path: string, init: RequestInit = {}): Promise<Response> {
    const headers = {
      'e2b-sandbox-id': this.id,
      'e2b-sandbox-port': String(port),
      'x-access-token': this.token,
      ...(init.headers as object),
    }
    return fetch(`${this.#daemon.url}${path}`, { ...init, headers })
  }

  async health(): Promise<number> {
    return (await this.visit(49983, '/health')).status
  }

  /** What a command printed; its exit code when that is not 0. */
  async run(command: string): Promise<string> {
    const response = await this.visit(49983, '/process.Process/Start', {
      method: 'POST',
      headers: { 'content-type': 'application/connect+json', 'connect-protocol-version': '1' },
      body: envelope({ process: { cmd: '/bin/bash', args: ['-c', command] }, stdin: false }),
    })
    let text = ''
    for (const message of messages(Buffer.from(await response.arrayBuffer()))) {
      const { event, error } = message as { event?: ProcessEvent; error?: { code: string; message: string } }
      if (error !== undefined) throw new Error(`${error.code}: ${error.message}`)
      text += Buffer.from(event?.data?.stdout ?? '', 'base64').toString()
      if ((event?.end?.exitCode ?? 0) !== 0) text += `exit ${event?.end?.exitCode}`
    }
    return text
  }

  async code(code: string): Promise<string> {
    const response = await this.visit(49999, '/execute', { method: 'POST', body: JSON.stringify({ code }) })
    if (response.status !== 200) throw new Error(`execute: ${response.status} ${await response.text()}`)
    const lines = (await response.text()).split('\n').filter(Boolean)
    const events = lines.map((line) => JSON.parse(line) as { type: string; text?: string; name?: string; is_main_result?: boolean })
    return events
      .filter(({ type }) => ['stdout', 'result', 'error'].includes(type))
      .map(({ text, name }) => text ?? name)
      .join('')
  }

  async ask(method: string, path: string, body?: unknown): Promise<Response> {
    const init = body === undefined ? { method } : { method, body: JSON.stringify(body) }
    return this.#daemon.fetch(`/sandboxes/${this.id}${path}`, { ...init, headers: ofKey(this.#key) })
  }

  async info(): Promise<Record<string, unknown> & { state: string; endAt: string }> {
    return (await (await this.ask('GET', '')).json()) as Record<string, unknown> & { state: string; endAt: string }
  }
}

interface ProcessEvent {
  data?: { stdout?: string }
  end?: { exitCode?: number }
}

/** Connect's streaming frames: a flag, a length, JSON. */
function envelope(message: unknown): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(JSON.stringify(message))
  const whole = new Uint8Array(5 + json.length)
  new DataView(whole.buffer).setUint32(1, json.length)
  whole.set(json, 5)
  return whole
}

function* messages(bytes: Buffer): Generator<unknown> {
  for (let rest = bytes; rest.length >= 5; ) {
    const length = rest.readUInt32BE(1)
    yield JSON.parse(rest.subarray(5, 5 + length).toString('utf8'))
    rest = rest.subarray(5 + length)
  }
}

function ofKey(key: string | undefined): Record<string, string> {
  return key === undefined ? {} : { 'x-api-key': key }
}
