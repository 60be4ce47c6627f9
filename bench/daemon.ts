import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { WireClient } from '../spec/api/wire-client.ts'

const CLI = fileURLToPath(new URL('caisson.mjs', import.meta.url))
const START_MS = 60_000
const TICKS_A_SECOND = 100

/** `caisson up` on a state folder of its own, and the templates that are there. Disposing it ends it and its sandboxes. */
export class BenchDaemon implements AsyncDisposable {
  readonly client: WireClient
  readonly #process: ChildProcess
  readonly #home: string

  private constructor(process: ChildProcess, home: string, client: WireClient) {
    this.#process = process
    this.#home = home
    this.client = client
  }

  /** `pool`: how many sandboxes wait at the least. */
  static async open({ pool }: { pool: number }): Promise<BenchDaemon> {
    const home = await mkdtemp(join(tmpdir(), 'caisson-bench-'))
    const templates = process.env['CAISSON_TEMPLATES'] ?? join(process.env['CAISSON_HOME'] ?? join(homedir(), '.caisson'), 'templates')
    const env = {
      ...process.env,
      CAISSON_HOME: home,
      CAISSON_TEMPLATES: templates,
      CAISSON_POOL: String(pool),
      CAISSON_ZYGOTE_IDLE_MS: '0',
    }
    const child = spawn(process.execPath, [CLI, 'up', '--port', '0'], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-20_000)))
    const exported = (name: string) => new RegExp(`export ${name}=['"]?([^'"\\s]+)`).exec(said)?.[1]
    for (const end = Date.now() + START_MS; exported('E2B_API_KEY') === undefined && child.exitCode === null && Date.now() < end; )
      await pause(20)
    const [url, key] = [exported('E2B_API_URL'), exported('E2B_API_KEY')]
    if (url === undefined || key === undefined) {
      child.kill('SIGKILL')
      throw new Error(`the daemon did not start: ${said}`)
    }
    return new BenchDaemon(child, home, new WireClient(url, key))
  }

  /** Waits until so many sandboxes of any kind wait in the pool. */
  async filled(count: number): Promise<void> {
    while ((await this.#gauge('caisson_pool{what="waiting"}')) < count) await pause(50)
  }

  async residentMiB(): Promise<number> {
    const status = await readFile(`/proc/${this.#process.pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024
  }

  /** Share of one core over a time, in per cent. */
  async processorPercent(seconds: number): Promise<number> {
    const before = await this.#ticks()
    await pause(seconds * 1000)
    return (((await this.#ticks()) - before) / TICKS_A_SECOND / seconds) * 100
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (;;) {
      const listed = (await this.client.control('GET', '/v2/sandboxes?limit=100')) as { sandboxID: string }[]
      if (listed.length === 0) break
      await Promise.all(listed.map(({ sandboxID }) => this.client.control('DELETE', `/sandboxes/${sandboxID}`)))
    }
    this.client[Symbol.dispose]()
    const over = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    await over
    await rm(this.#home, { recursive: true, force: true })
  }

  async #gauge(name: string): Promise<number> {
    const response = await this.client.open('GET', '/metrics', { headers: { 'x-api-key': this.client.key } })
    let text = ''
    for await (const piece of response.setEncoding('utf8')) text += piece
    const line = text.split('\n').find((one) => one.startsWith(`${name} `))
    if (line === undefined) throw new Error(`the daemon has no ${name}`)
    return Number(line.slice(name.length + 1))
  }

  async #ticks(): Promise<number> {
    const fields = (await readFile(`/proc/${this.#process.pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ')
    return Number(fields[11]) + Number(fields[12])
  }
}
