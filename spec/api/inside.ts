import { readFile } from 'node:fs/promises'
import { type IncomingMessage, type RequestOptions, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { LiveSandbox } from '../../host/sandbox/life.ts'
import { SpecHost } from '../walls/home.ts'
import { Door, textOf } from './door.ts'

const signal = new AbortController().signal
const SERVERS = fileURLToPath(new URL('servers.py', import.meta.url))
const CERTIFICATE =
  'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=x -keyout /tmp/key.pem -out /tmp/cert.pem'

export interface Seen {
  path: string
  method: string
  headers: [string, string][]
  body: string
  trailers: string | null
  connection: number
}

/** The front door, and a real sandbox behind it in which servers.py runs, known by several ids. */
export class Inside implements AsyncDisposable {
  readonly host: SpecHost
  readonly door: Door
  readonly live: LiveSandbox

  private constructor(host: SpecHost, door: Door, live: LiveSandbox) {
    this.host = host
    this.door = door
    this.live = live
  }

  static async open(): Promise<Inside> {
    const host = await SpecHost.open()
    const door = await Door.open(undefined, {}, 'sbx.localhost')
    const inside = new Inside(host, door, (await host.door.create({ template: 'base', memoryMiB: 512 }, signal)) as LiveSandbox)
    inside.admit()
    await inside.#startServers()
    return inside
  }

  /** As a sandbox that runs. */
  admit(): void {
    this.door.sandboxes.set('ione', { live: this.live, traffic: { httpsPorts: [3004] } })
  }

  at(path: string, port = 3000, init: RequestInit = {}): Promise<Response> {
    return fetch(this.door.url + path, { ...init, headers: { ...to(port), ...(init.headers as Record<string, string>) } })
  }

  /** What the honest server saw. */
  async seen(path: string, init: RequestInit = {}, port = 3000): Promise<Seen> {
    return (await (await this.at(path, port, init)).json()) as Seen
  }

  /** For what fetch does not allow. */
  ask(options: RequestOptions, ...body: string[]): Promise<IncomingMessage & { text: string }> {
    return new Promise((resolve, reject) => {
      const asked = request({ host: '127.0.0.1', port: this.door.port, ...options }, (answer) => {
        textOf(answer).then((text) => resolve(Object.assign(answer, { text })), reject)
      })
      asked.on('error', reject)
      for (const piece of body) asked.write(piece)
      asked.end()
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.door.close()
    await this.host[Symbol.asyncDispose]()
  }

  async #startServers(): Promise<void> {
    await this.live.files.write('/tmp/servers.py', await readFile(SERVERS), {}, signal)
    const script = `${CERTIFICATE} 2>&1; exec python3 /tmp/servers.py 2>&1`
    const started = await this.live.start({ command: 'sh', args: ['-c', script] }, signal)
    let said = ''
    for await (const { bytes } of started.output) {
      said += Buffer.from(bytes).toString()
      if (said.includes('ready\n')) return
    }
    throw new Error(`the servers did not start: ${said}`)
  }
}

export const to = (port: number, id = 'ione') => ({ 'e2b-sandbox-id': id, 'e2b-sandbox-port': String(port) })

export const header = ({ headers }: Seen, name: string) => headers.filter(([one]) => one.toLowerCase() === name).map(([, value]) => value)

/** Asks for a WebSocket: its connection, and what has come so far. */
export async function openSocket(port: number, path: string, headers: Record<string, string>): Promise<{ socket: Socket; came: Buffer }> {
  const upgrade = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' }
  const lines = Object.entries({ host: 'x', ...headers, ...upgrade }).map((line) => line.join(': '))
  const socket = connect(port, '127.0.0.1')
  socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
  let came = Buffer.alloc(0)
  while (came.indexOf('\r\n\r\n') === -1) came = Buffer.concat([came, await nextPiece(socket)])
  return { socket, came }
}

export function nextPiece(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const ended = () => reject(new Error('the connection has ended'))
    socket.once('close', ended)
    socket.once('data', (bytes: Buffer) => {
      socket.off('close', ended)
      resolve(bytes)
    })
  })
}
