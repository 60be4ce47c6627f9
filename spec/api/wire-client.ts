import { Agent, type IncomingMessage, request } from 'node:http'
import type { Readable } from 'node:stream'

export interface WireSandbox {
  readonly sandboxID: string
  readonly envdAccessToken: string
}

export interface WireAnswer {
  status: number
  body: Buffer
}

interface Sent {
  headers?: Record<string, string>
  body?: string | Buffer | Readable
}

export interface Ran {
  exitCode: number
  stdout: string
  stderr: string
}

/** An answer that was not the one hoped for. */
export class WireError extends Error {
  override readonly name = 'WireError'
  readonly status: number
  /** Of Connect ("unavailable"), or of the catalogue ("not_found"), where one was said. */
  readonly code: string | undefined

  constructor(what: string, status: number, text: string, code?: string) {
    super(`${what}: ${status} ${code ?? ''} ${text.slice(0, 500)}`)
    this.status = status
    this.code = code
  }
}

/** E2B's wire as one reads it in their specification: nothing is tried twice, nothing is guessed. Connections are kept. */
export class WireClient implements Disposable {
  readonly url: string
  readonly key: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1024, noDelay: true })

  constructor(url: string, key: string) {
    this.url = url
    this.key = key
  }

  async create(body: object = {}): Promise<WireSandbox> {
    return (await this.#control('POST', '/v2/sandboxes', { templateID: 'base', timeout: 600, ...body })) as WireSandbox
  }

  /** Anything of the control plane that answers with JSON, or with nothing. */
  async control(method: string, path: string, body?: object): Promise<unknown> {
    return await this.#control(method, path, body)
  }

  async run(sandbox: WireSandbox, command: string, { stdin = false } = {}): Promise<Ran> {
    const message = Buffer.from(JSON.stringify({ process: { cmd: '/bin/bash', args: ['-l', '-c', command] }, stdin }))
    const headers = { 'content-type': 'application/connect+json', 'connect-protocol-version': '1', 'connect-timeout-ms': '60000' }
    const answer = await this.inside(sandbox, 'POST', '/process.Process/Start', { headers, body: enveloped(message) })
    const ran: Ran = { exitCode: -1, stdout: '', stderr: '' }
    if (answer.status !== 200) throw refused(command, answer)
    let ended = false
    for (const { flag, message: event } of envelopes(answer.body)) {
      if (flag === 2 && event.error !== undefined) throw new WireError(command, 200, event.error.message ?? '', event.error.code)
      const { data, end } = event.event ?? {}
      if (data?.stdout !== undefined) ran.stdout += Buffer.from(data.stdout, 'base64').toString()
      if (data?.stderr !== undefined) ran.stderr += Buffer.from(data.stderr, 'base64').toString()
      if (end !== undefined) {
        ended = true
        ran.exitCode = end.exitCode ?? 0
      }
    }
    if (!ended) throw new WireError(command, 200, 'the stream ended without an end')
    return ran
  }

  async upload(sandbox: WireSandbox, path: string, body: string | Buffer | Readable): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream' }
    const answer = await this.inside(sandbox, 'POST', `/files?path=${encodeURIComponent(path)}`, { headers, body })
    if (answer.status !== 200) throw refused(`upload of ${path}`, answer)
  }

  async download(sandbox: WireSandbox, path: string): Promise<Buffer> {
    const answer = await this.inside(sandbox, 'GET', `/files?path=${encodeURIComponent(path)}`)
    if (answer.status !== 200) throw refused(`download of ${path}`, answer)
    return answer.body
  }

  /** The lines of one execution. */
  async execute(sandbox: WireSandbox, code: string): Promise<{ type: string; text?: string; name?: string }[]> {
    const headers = { 'content-type': 'application/json' }
    const answer = await this.inside(sandbox, 'POST', '/execute', { headers, body: JSON.stringify({ code }) }, 49999)
    if (answer.status !== 200) throw refused(code, answer)
    const lines = answer.body.toString().split('\n')
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as { type: string })
  }

  /** A request to a port of a sandbox. Rejects when the connection breaks. */
  async inside(sandbox: WireSandbox, method: string, path: string, sent: Sent = {}, port = 49983): Promise<WireAnswer> {
    const response = await this.open(method, path, { ...sent, headers: { ...addressed(sandbox, port), ...sent.headers } })
    return { status: response.statusCode ?? 0, body: await whole(response) }
  }

  /** The answer as it comes; `path` may be a whole address. */
  open(method: string, path: string, { headers = {}, body }: Sent = {}): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const call = request(path.startsWith('/') ? this.url + path : path, { method, agent: this.#agent, headers }, resolve)
      call.on('error', reject)
      if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) call.end(body)
      else body.on('error', reject).pipe(call)
    })
  }

  [Symbol.dispose](): void {
    this.#agent.destroy()
  }

  async #control(method: string, path: string, body?: object): Promise<unknown> {
    const headers: Record<string, string> = { 'x-api-key': this.key }
    const text = body === undefined ? undefined : JSON.stringify(body)
    if (text !== undefined)
      Object.assign(headers, { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) })
    const response = await this.open(method, path, text === undefined ? { headers } : { headers, body: text })
    const answer = { status: response.statusCode ?? 0, body: await whole(response) }
    if (answer.status >= 300) throw refused(`${method} ${path}`, answer)
    return answer.body.length === 0 ? undefined : JSON.parse(answer.body.toString())
  }
}

/** What a request for one port of one sandbox carries. */
export function addressed(sandbox: WireSandbox, port = 49983): Record<string, string> {
  return { 'e2b-sandbox-id': sandbox.sandboxID, 'e2b-sandbox-port': String(port), 'x-access-token': sandbox.envdAccessToken }
}

/** A message of Connect's streams. */
export function enveloped(message: Buffer, flag = 0, length = message.length): Buffer {
  const top = Buffer.alloc(5)
  top[0] = flag
  top.writeUInt32BE(length, 1)
  return Buffer.concat([top, message])
}

interface StreamMessage {
  event?: { data?: { stdout?: string; stderr?: string }; end?: { exitCode?: number } }
  error?: { code?: string; message?: string }
}

function* envelopes(bytes: Buffer): Generator<{ flag: number; message: StreamMessage }> {
  for (let at = 0; at + 5 <= bytes.length; ) {
    const end = at + 5 + bytes.readUInt32BE(at + 1)
    yield { flag: bytes[at] ?? 0, message: JSON.parse(bytes.subarray(at + 5, end).toString()) as StreamMessage }
    at = end
  }
}

async function whole(response: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of response as AsyncIterable<Buffer>) pieces.push(piece)
  return Buffer.concat(pieces)
}

function refused(what: string, { status, body }: WireAnswer): WireError {
  const text = body.toString()
  try {
    const said = JSON.parse(text) as { code?: unknown; error_code?: string; message?: string }
    return new WireError(what, status, said.message ?? text, typeof said.code === 'string' ? said.code : said.error_code)
  } catch {
    return new WireError(what, status, text)
  }
}
