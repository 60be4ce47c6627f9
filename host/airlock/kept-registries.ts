import { createHash } from 'node:crypto'
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { ConfiguredHost, Registries } from './registries.ts'

/** Asking npm, pip and go takes a second, too long for a single command. Their answers are valid while their configuration is unchanged. */
const KEPT_MS = 3_600_000
const MAX_HOSTS = 512
const MAX_BYTES = 256 * 1024

/** The clients' configuration files; a missing one counts as such. */
const OWN = [
  '.npmrc',
  '.pip/pip.conf',
  '.config/pip/pip.conf',
  '.gitconfig',
  '.config/git/config',
  '.config/go/env',
  '.cargo/config.toml',
  '.cargo/config',
]
const SYSTEM = ['npmrc', 'pip.conf', 'gitconfig', 'apt/sources.list', 'apt/sources.list.d']

/** The answers of package clients, cached in the state folder for later hosts. */
export class KeptRegistries {
  readonly #path: string
  readonly #environment: string
  readonly #asked: Pick<Registries, 'hosts'>

  /** `environment`: the variables that configure the clients. */
  constructor(home: string, environment: string, asked: Pick<Registries, 'hosts'>) {
    this.#path = join(home, 'registries.json')
    this.#environment = environment
    this.#asked = asked
  }

  async hosts(signal: AbortSignal): Promise<readonly ConfiguredHost[]> {
    const configuration = await this.#configuration()
    const kept = await this.#kept(configuration)
    if (kept !== undefined) return kept
    const hosts = (await this.#asked.hosts(signal)).slice(0, MAX_HOSTS)
    const fresh = `${this.#path}.${process.pid}`
    await writeFile(fresh, JSON.stringify({ configuration, untilMs: Date.now() + KEPT_MS, hosts }), { mode: 0o600 })
    await rename(fresh, this.#path)
    return hosts
  }

  /** Undefined: missing, too old, malformed, or for another configuration. */
  async #kept(configuration: string): Promise<ConfiguredHost[] | undefined> {
    const text = await readFile(this.#path, 'utf8').catch(() => '')
    if (text === '' || text.length > MAX_BYTES) return undefined
    try {
      const said = JSON.parse(text) as { configuration: unknown; untilMs: unknown; hosts: unknown }
      const leftMs = typeof said.untilMs === 'number' ? said.untilMs - Date.now() : 0
      // A timestamp from a clock that was ahead must not make it valid for years.
      const isFresh = said.configuration === configuration && leftMs > 0 && leftMs <= KEPT_MS
      return isFresh && Array.isArray(said.hosts) && said.hosts.every(isHost) ? said.hosts : undefined
    } catch (error) {
      if (error instanceof SyntaxError || error instanceof TypeError) return undefined
      throw error
    }
  }

  async #configuration(): Promise<string> {
    const files = [...OWN.map((name) => join(homedir(), name)), ...SYSTEM.map((name) => join('/etc', name))]
    const seen = await Promise.all(
      files.map(async (path) => {
        const found = await stat(path).catch(() => undefined)
        return found === undefined ? '-' : `${found.mtimeMs} ${found.size} ${found.ino}`
      }),
    )
    return createHash('sha256')
      .update(JSON.stringify([this.#environment, seen]))
      .digest('hex')
  }
}

function isHost(value: unknown): value is ConfiguredHost {
  const { host, port } = (value ?? {}) as Partial<ConfiguredHost>
  return typeof host === 'string' && /^[a-z0-9.-]+$/.test(host) && Number.isInteger(port) && Number(port) > 0 && Number(port) < 65_536
}
