import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freshDeadline, orAborted } from '../lifetimes.ts'

const execute = promisify(execFile)

const CLIENT_MS = 10_000
const KEPT_MS = 300_000
const MAX_OUTPUT_BYTES = 1024 * 1024
const MAX_HOSTS_OF_ONE = 64

/** A host from which this machine's package clients get packages. */
export interface ConfiguredHost {
  readonly host: string
  readonly port: number
}

/** Asks a client of this machine where it gets packages: a text with URLs. Rejects if the client is not installed. */
type Client = (signal: AbortSignal) => Promise<string>

/** Without configuration, pip's built-in defaults apply. */
const PIP_DEFAULTS = 'from pip._internal.models.index import PyPI; print(PyPI.simple_url, "https://" + PyPI.file_storage_domain)'

const CLIENTS: Readonly<Record<string, Client>> = {
  npm: async (signal) => {
    const config: unknown = JSON.parse(await said('npm', ['config', 'list', '--json'], signal))
    const entries = Object.entries(config as Record<string, unknown>)
    return entries.flatMap(([key, value]) => (/(^|:)registry$/.test(key) && typeof value === 'string' ? value : [])).join('\n')
  },
  pip: async (signal) => {
    const configured = linesWith(/\.(extra-)?index-url=|\.find-links=/, await said('python3', ['-m', 'pip', 'config', 'list'], signal))
    if (/\.index-url=/.test(configured)) return configured
    return `${configured}\n${await said('python3', ['-c', PIP_DEFAULTS], signal)}`
  },
  cargo: async (signal) => {
    const folder = join(homedir(), '.cargo')
    const texts = await Promise.allSettled(
      ['config.toml', 'config'].map((name) => readFile(join(folder, name), { encoding: 'utf8', signal })),
    )
    return linesWith(/^\s*(registry|index)\s*=/, texts.map((text) => (text.status === 'fulfilled' ? text.value : '')).join('\n'))
  },
  apt: async (signal) => {
    const folder = '/etc/apt/sources.list.d'
    const names = (await readdir(folder).catch((): string[] => []))
      .filter((name) => /\.(list|sources)$/.test(name))
      .map((name) => join(folder, name))
    const files = ['/etc/apt/sources.list', ...names]
    const texts = await Promise.allSettled(files.map((path) => readFile(path, { encoding: 'utf8', signal })))
    return linesWith(
      /^\s*(deb|deb-src)\s|^\s*URIs\s*:|^\s+https?:/i,
      texts.map((text) => (text.status === 'fulfilled' ? text.value : '')).join('\n'),
    )
  },
  go: async (signal) => {
    const [proxies = '', sums = ''] = (await said('go', ['env', 'GOPROXY', 'GOSUMDB'], signal)).split('\n')
    // Also `name`, or `name+key URL`.
    const sum = /^[a-z0-9.-]+\.[a-z0-9-]+$/.test(sums) ? `https://${sums}` : sums
    return `${proxies}\n${sum}`
  },
  git: (signal) => said('git', ['config', '--get-regexp', String.raw`^url\..*\.(insteadof|pushinsteadof)$`], signal),
}

/** The hosts that this machine's package clients are configured to use. The clients themselves are asked, and their answers cached for a while. */
export class Registries {
  readonly #clients: Readonly<Record<string, Client>>
  #known: { hosts: Promise<readonly ConfiguredHost[]>; untilMs: number } | undefined

  constructor(clients: Readonly<Record<string, Client>> = CLIENTS) {
    this.#clients = clients
  }

  /** A client that is missing or does not answer in time contributes nothing. */
  hosts(signal: AbortSignal): Promise<readonly ConfiguredHost[]> {
    if (this.#known === undefined || this.#known.untilMs < Date.now()) {
      this.#known = { hosts: this.#ask(), untilMs: Date.now() + KEPT_MS }
    }
    return orAborted(this.#known.hosts, signal)
  }

  async #ask(): Promise<readonly ConfiguredHost[]> {
    const all = await Promise.all(
      Object.values(this.#clients).map(async (ask) => {
        try {
          return hostsIn(await ask(freshDeadline(CLIENT_MS)))
        } catch {
          // Not installed: nothing to allow.
          return []
        }
      }),
    )
    return all.flat()
  }
}

/** The hosts of the URLs in a text. */
function hostsIn(text: string): ConfiguredHost[] {
  const found = new Map<string, ConfiguredHost>()
  for (const [url] of text.matchAll(/https?:\/\/[^\s'",;|\]]+/g)) {
    if (!URL.canParse(url)) continue
    const { hostname, port, protocol } = new URL(url)
    const number = port === '' ? (protocol === 'http:' ? 80 : 443) : Number(port)
    const host = hostname.replace(/\.$/, '')
    if (/^[a-z0-9.-]+$/.test(host)) found.set(`${host}:${number}`, { host, port: number })
  }
  return [...found.values()].slice(0, MAX_HOSTS_OF_ONE)
}

function linesWith(wanted: RegExp, text: string): string {
  return text
    .split('\n')
    .filter((line) => wanted.test(line))
    .join('\n')
}

async function said(program: string, args: string[], signal: AbortSignal): Promise<string> {
  const { stdout } = await execute(program, args, { cwd: '/', signal, maxBuffer: MAX_OUTPUT_BYTES })
  return stdout
}
