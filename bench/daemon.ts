import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const PROGRAM = fileURLToPath(new URL('../caisson', import.meta.url))
const START_MS = 60_000
const LOOK_MS = 20
/** Behind an emulated processor Python takes a quarter of a minute to be warm. */
const SAVE_MS = 180_000

export interface Guest {
  readonly id: string
  readonly token: string
}

/** A daemon of its own for one benchmark, and a plain HTTP client that keeps its connections: what is measured is the daemon, and little else. */
export class BenchDaemon implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #home: string
  readonly #port: number
  readonly #key: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 256, noDelay: true })

  private constructor(process: ChildProcess, home: string, port: number, key: string) {
    this.#process = process
    this.#home = home
    this.#port = port
    this.#key = key
  }

  /** `pool`: how many wait at the least; undefined: as many as a daemon has of itself. */
  static async open(pool?: number): Promise<BenchDaemon> {
    const home = await mkdtemp(join(tmpdir(), 'cai-'))
    const templates = process.env['CAISSON_TEMPLATES'] ?? join(process.env['CAISSON_HOME'] ?? join(homedir(), '.caisson'), 'templates')
    const env = {
      ...process.env,
      CAISSON_HOME: home,
      CAISSON_TEMPLATES: templates,
      CAISSON_POOL: pool === undefined ? '' : String(pool),
      CAISSON_ZYGOTE_IDLE_MS: '0',
    }
    const child = spawn(PROGRAM, ['up', '--port', '0'], { env, stdio: 'ignore' })
    for (const end = Date.now() + START_MS; Date.now() < end && child.exitCode === null; await pause(LOOK_MS)) {
      const about = await readFile(join(home, 'daemon.json'), 'utf8').catch(() => undefined)
      if (about === undefined) continue
      const { url } = JSON.parse(about) as { url: string }
      return new BenchDaemon(child, home, Number(new URL(url).port), (await readFile(join(home, 'key'), 'utf8')).trim())
    }
    child.kill('SIGKILL')
    throw new Error('the daemon did not start')
  }

  get pid(): number {
    return this.#process.pid ?? -1
  }

  create(templateID = 'code-interpreter'): Promise<Guest> {
    return this.#made('/v2/sandboxes', { templateID, timeout: 600 })
  }

  /** With no network at all, which a client of E2B's cannot ask for: one that may reach nothing has a gate that says so. */
  createBehind(wall: string): Promise<Guest> {
    return this.#made('/caisson/v1/sandboxes', { profile: 'e2b', template: 'code-interpreter', wall, network: 'none', timeoutMs: 600_000 })
  }

  /** Until a state is saved that others are restored from, or is known not to be. */
  async saved(): Promise<void> {
    const log = join(this.#home, 'audit', 'audit.jsonl')
    for (const end = Date.now() + SAVE_MS; Date.now() < end; await pause(LOOK_MS)) {
      if ((await readFile(log, 'utf8')).includes('"kind":"warm"')) return
    }
    throw new Error('no state was saved')
  }

  async end({ id }: Guest): Promise<void> {
    await this.#text('DELETE', `/sandboxes/${id}`, { 'x-api-key': this.#key })
  }

  true(guest: Guest): Promise<void> {
    return this.run(guest, '/bin/true')
  }

  /** Until the command has ended, and well. */
  async run(guest: Guest, cmd: string): Promise<void> {
    const json = Buffer.from(JSON.stringify({ process: { cmd, args: [] }, stdin: false }))
    const head = Buffer.alloc(5)
    head.writeUInt32BE(json.length, 1)
    const headers = { ...this.#of(guest, 49983), 'content-type': 'application/connect+json', 'connect-protocol-version': '1' }
    const said = await this.#text('POST', '/process.Process/Start', headers, Buffer.concat([head, json]))
    if (!said.includes('"exit status 0"')) throw new Error(`${cmd} did not end well: ${said}`)
  }

  /** `code` comes to 2. */
  async code(guest: Guest, code = '1+1'): Promise<void> {
    const said = await this.#text('POST', '/execute', this.#of(guest, 49999), JSON.stringify({ code }))
    if (!said.includes('"text":"2"')) throw new Error(`${code} was ${said}`)
  }

  async pause({ id }: Guest): Promise<void> {
    await this.#text('POST', `/sandboxes/${id}/pause`, { 'x-api-key': this.#key })
  }

  async resume({ id }: Guest): Promise<void> {
    await this.#text('POST', `/sandboxes/${id}/connect`, { 'x-api-key': this.#key }, JSON.stringify({ timeout: 600 }))
  }

  /** All that were asked for are there, and none was refused. */
  async fork({ id }: Guest, count: number): Promise<Guest[]> {
    const said = JSON.parse(await this.#text('POST', `/sandboxes/${id}/fork`, { 'x-api-key': this.#key }, JSON.stringify({ count })))
    return (said as { sandbox?: { sandboxID: string; envdAccessToken: string } }[]).map(({ sandbox }) => {
      if (sandbox === undefined) throw new Error(`a fork was refused: ${JSON.stringify(said)}`)
      return { id: sandbox.sandboxID, token: sandbox.envdAccessToken }
    })
  }

  async upload(guest: Guest, bytes: number): Promise<void> {
    const headers = { ...this.#of(guest, 49983), 'content-type': 'application/octet-stream', 'content-length': String(bytes) }
    const asked = this.#ask('POST', '/files?path=/home/user/large', headers)
    await fill(asked, bytes)
    await text(await answer(asked))
  }

  async download(guest: Guest, bytes: number): Promise<void> {
    const asked = this.#ask('GET', '/files?path=/home/user/large', this.#of(guest, 49983))
    asked.end()
    await drain(await answer(asked), bytes)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy()
    const over = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    await over
    await rm(this.#home, { recursive: true, force: true })
  }

  async #made(path: string, wish: object): Promise<Guest> {
    const said = await this.#text('POST', path, { 'x-api-key': this.#key }, JSON.stringify(wish))
    const { sandboxID, envdAccessToken } = JSON.parse(said) as { sandboxID: string; envdAccessToken: string }
    return { id: sandboxID, token: envdAccessToken }
  }

  #of({ id, token }: Guest, port: number): Record<string, string> {
    return { 'e2b-sandbox-id': id, 'e2b-sandbox-port': String(port), 'x-access-token': token }
  }

  #ask(method: string, path: string, headers: Record<string, string>): ClientRequest {
    return request({ host: '127.0.0.1', port: this.#port, method, path, headers, agent: this.#agent })
  }

  async #text(method: string, path: string, headers: Record<string, string>, body: string | Buffer = ''): Promise<string> {
    const asked = this.#ask(method, path, headers)
    asked.end(body)
    return text(await answer(asked))
  }
}

const PIECE = Buffer.alloc(256 * 1024, 'x')

export async function fill(asked: ClientRequest, bytes: number): Promise<void> {
  for (let left = bytes; left > 0; left -= PIECE.length) {
    if (!asked.write(left >= PIECE.length ? PIECE : PIECE.subarray(0, left))) await once(asked, 'drain')
  }
  asked.end()
}

export async function answer(asked: ClientRequest): Promise<IncomingMessage> {
  const [found] = (await once(asked, 'response')) as [IncomingMessage]
  if ((found.statusCode ?? 500) >= 300) throw new Error(`${found.statusCode} ${await text(found)}`)
  return found
}

export async function drain(from: IncomingMessage, bytes: number): Promise<void> {
  let seen = 0
  from.on('data', (piece: Buffer) => {
    seen += piece.length
  })
  await finished(from)
  if (seen !== bytes) throw new Error(`${seen} bytes came, not ${bytes}`)
}

async function text(from: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = []
  for await (const piece of from as AsyncIterable<Buffer>) pieces.push(piece)
  return Buffer.concat(pieces).toString('utf8')
}
