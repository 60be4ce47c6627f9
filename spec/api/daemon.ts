import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const START_MS = 60_000
const LOOK_MS = 20

/** Runs the daemon's bundle until it is told to stop. Says its URL, key and the like on its first line. */
const PROGRAM = `
const { openDaemon } = await import(${JSON.stringify(join(ROOT, 'dist', 'daemon.mjs'))})
try {
  const daemon = await openDaemon(JSON.parse(process.argv[1]), new AbortController().signal)
  process.once('SIGTERM', () => void daemon.close())
  const { url, key, home, domain, caPath } = daemon
  process.stdout.write(JSON.stringify({ url, key, home, domain, caPath }) + '\\n')
  await daemon.closed
  process.exit(0)
} catch (failure) {
  process.stdout.write(JSON.stringify({ code: failure.code, message: failure.message }) + '\\n')
  process.exit(1)
}`

interface About {
  url: string
  key: string
  home: string
  domain: string | null
  caPath: string | null
}

export interface SpecDaemonOptions {
  /** Of an earlier one. */
  home?: string
  domain?: string
  tls?: boolean
  port?: number
  /** As the daemon of a user has it; elsewhere nothing is made in advance, which would be work for nobody. */
  hasPool?: boolean
  env?: Record<string, string>
}

/** A real daemon in a process of its own, on a state folder of its own and on the templates that set-up has built. */
export class SpecDaemon implements AsyncDisposable {
  readonly url: string
  readonly key: string
  readonly home: string
  readonly domain: string | null
  readonly caPath: string | null
  readonly process: ChildProcess
  readonly #log: string[]

  private constructor(about: About, process: ChildProcess, log: string[]) {
    this.url = about.url
    this.key = about.key
    this.home = about.home
    this.domain = about.domain
    this.caPath = about.caPath
    this.process = process
    this.#log = log
  }

  static async open({ home, hasPool = false, env = {}, port = 0, ...more }: SpecDaemonOptions = {}): Promise<SpecDaemon> {
    const templates = process.env['CAISSON_TEMPLATES'] ?? join(process.env['CAISSON_HOME'] ?? join(homedir(), '.caisson'), 'templates')
    const folder = home ?? (await mkdtemp(join(tmpdir(), 'cai-')))
    const options = JSON.stringify({ home: folder, port, ...more })
    const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, options], {
      env: {
        ...process.env,
        CAISSON_TEMPLATES: templates,
        CAISSON_ZYGOTE_IDLE_MS: '0',
        CAISSON_SAVED_STATES: '0',
        CAISSON_POOL: hasPool ? '2' : '0',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const log: string[] = []
    child.stderr.setEncoding('utf8').on('data', (text: string) => log.push(text))
    const lines: string[] = []
    child.stdout.setEncoding('utf8').on('data', (text: string) => lines.push(text))
    for (const end = Date.now() + START_MS; !lines.join('').includes('\n') && child.exitCode === null && Date.now() < end; )
      await pause(LOOK_MS)
    const [line = ''] = lines.join('').split('\n')
    const said = JSON.parse(line === '' ? '{}' : line) as Partial<About> & { code?: string; message?: string }
    if (said.url === undefined) {
      child.kill('SIGKILL')
      if (home === undefined) await rm(folder, { recursive: true, force: true })
      throw Object.assign(new Error(`the daemon did not start: ${said.message ?? ''} ${log.join('')}`), { code: said.code })
    }
    return new SpecDaemon(said as About, child, log)
  }

  /** What it wrote to its log. */
  get log(): string {
    return this.#log.join('')
  }

  /** What E2B's SDKs look for. */
  get environment(): Record<string, string> {
    return { E2B_API_URL: this.url, E2B_SANDBOX_URL: this.url, E2B_API_KEY: this.key }
  }

  async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    // With TLS as well, programs of this machine may ask in plain HTTP.
    return fetch(`${this.url.replace(/^https:/, 'http:')}${path}`, {
      ...init,
      headers: { 'x-api-key': this.key, ...(init.headers as Record<string, string>) },
    })
  }

  /** Its sandboxes live on. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    const over = once(this.process, 'exit')
    this.process.kill(signal)
    await over
  }

  /** Another one on the same state folder. */
  async again(options: SpecDaemonOptions = {}): Promise<SpecDaemon> {
    return SpecDaemon.open({ home: this.home, ...options })
  }

  /** Ends its sandboxes, itself, and its state folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const listed = (await (await this.fetch('/v2/sandboxes')).json()) as { sandboxID: string }[]
      await Promise.all(listed.map(({ sandboxID }) => this.fetch(`/sandboxes/${sandboxID}`, { method: 'DELETE' })))
      await this.stop()
    }
    await rm(this.home, { recursive: true, force: true })
  }
}

/** Of one that runs: for a look at its descriptors and memory. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024
}
