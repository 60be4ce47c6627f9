import { lookup, Resolver } from 'node:dns/promises'
import { readFile, stat } from 'node:fs/promises'
import { within } from '@caisson/wire'
import { FairTurns } from '../fair-turns.ts'
import { orAborted } from '../lifetimes.ts'

/** Less than a gate waits for an answer (native/keeper/src/gate/questions.rs). */
const LOOKUP_MS = 3000
/** Timeout of one attempt; a name server is asked twice. */
const SERVER_MS = 1200
const TRIES = 2
/** Name server queries cost this process a socket each, but no thread. */
const TURNS = { atOnce: 128, ofOne: 16, waitingOfOne: 256 }
/** Each C library lookup holds one of the few threads that Node shares between files and names. */
const THREAD_TURNS = { atOnce: 2, ofOne: 1, waitingOfOne: 64 }
const KEPT_MS = 10_000
const MAX_KEPT = 512
const HOSTS = '/etc/hosts'
const MAX_HOSTS_BYTES = 1024 * 1024
/** The name does not exist or has no address. Any other error concerns the servers. */
const NO_SUCH = ['ENOTFOUND', 'ENODATA', 'EBADNAME', 'EBADQUERY']

export interface HostNamesOptions {
  /** A hosts file, or name servers (`127.0.0.1:53`), other than this machine's. */
  readonly hosts?: string
  readonly servers?: readonly string[]
}

/**
 * Resolves names as this machine does: its hosts file, then its name servers, then the C library if those do not answer. Names are queried as they stand,
 * without search domains. Time, number and cache are bounded, and no sandbox waits for another's many names.
 */
export class HostNames {
  readonly #hosts: HostsFile
  readonly #servers: readonly string[] | undefined
  readonly #kept = new Map<string, { addresses: readonly string[]; untilMs: number }>()
  readonly #asking = new Map<string, Promise<readonly string[]>>()
  readonly #turns = new FairTurns(TURNS)
  readonly #threads = new FairTurns(THREAD_TURNS)

  constructor({ hosts = HOSTS, servers }: HostNamesOptions = {}) {
    this.#hosts = new HostsFile(hosts)
    this.#servers = servers
  }

  /** Empty: no such name, or no answer in time. `who`: the asking sandbox. */
  async addresses(name: string, who: string, signal: AbortSignal): Promise<readonly string[]> {
    const kept = this.#kept.get(name)
    if (kept !== undefined && kept.untilMs > Date.now()) return kept.addresses
    const key = `${who} ${name}`
    try {
      return await orAborted(this.#asking.get(key) ?? this.#ask(key, name, who), within(LOOKUP_MS, signal))
    } catch {
      // Whatever the reason, a name without an address is denied.
      return []
    }
  }

  #ask(key: string, name: string, who: string): Promise<readonly string[]> {
    const asking = this.#inTurn(this.#turns, who, () => this.#find(name, who)).finally(() => this.#asking.delete(key))
    this.#asking.set(key, asking)
    return asking
  }

  async #inTurn(turns: FairTurns, who: string, find: () => Promise<readonly string[]>): Promise<readonly string[]> {
    const done = await turns.take(who)
    if (done === null) return []
    try {
      return await find()
    } finally {
      done()
    }
  }

  async #find(name: string, who: string): Promise<readonly string[]> {
    const found = (await this.#hosts.addresses(name)) ?? (await this.#askServers(name)) ?? (await this.#askLibrary(name, who))
    this.#keep(name, found)
    return found
  }

  /** Undefined: the servers do not answer. */
  async #askServers(name: string): Promise<readonly string[] | undefined> {
    const resolver = new Resolver({ timeout: SERVER_MS, tries: TRIES })
    if (this.#servers !== undefined) resolver.setServers(this.#servers)
    // The trailing dot prevents search domains.
    const asked = await Promise.allSettled([resolver.resolve4(`${name}.`), resolver.resolve6(`${name}.`)])
    const found = asked.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
    const isAnswered = asked.some(
      (answer) => answer.status === 'fulfilled' || NO_SUCH.includes((answer.reason as NodeJS.ErrnoException).code ?? ''),
    )
    return isAnswered ? found : undefined
  }

  #askLibrary(name: string, who: string): Promise<readonly string[]> {
    if (this.#servers !== undefined) return Promise.resolve([])
    return this.#inTurn(this.#threads, who, async () => (await lookup(name, { all: true })).map(({ address }) => address))
  }

  #keep(name: string, addresses: readonly string[]): void {
    this.#kept.delete(name)
    this.#kept.set(name, { addresses, untilMs: Date.now() + KEPT_MS })
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest)
  }
}

/** hosts(5), reread after changes. */
class HostsFile {
  readonly #path: string
  #known: { readonly stamp: string; readonly names: ReadonlyMap<string, readonly string[]> } | undefined

  constructor(path: string) {
    this.#path = path
  }

  /** Undefined: the file has no entry. */
  async addresses(name: string): Promise<readonly string[] | undefined> {
    return (await this.#names()).get(name)
  }

  async #names(): Promise<ReadonlyMap<string, readonly string[]>> {
    try {
      const { size, mtimeMs, ino } = await stat(this.#path)
      const stamp = `${ino} ${size} ${mtimeMs}`
      if (this.#known?.stamp !== stamp) {
        this.#known = { stamp, names: size > MAX_HOSTS_BYTES ? new Map() : namesIn(await readFile(this.#path, 'utf8')) }
      }
      return this.#known.names
    } catch {
      // A missing file has no entries.
      return new Map()
    }
  }
}

function namesIn(text: string): Map<string, string[]> {
  const names = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [address, ...called] = line.replace(/#.*/, '').trim().split(/\s+/)
    if (address === undefined) continue
    for (const name of called) {
      const key = name.toLowerCase().replace(/\.$/, '')
      names.set(key, [...(names.get(key) ?? []), address])
    }
  }
  return names
}
