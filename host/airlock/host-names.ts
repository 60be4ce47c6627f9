import { lookup } from 'node:dns/promises'
import { orAborted, within } from '../lifetimes.ts'

/** Less than a gate waits for an answer (native/keeper/src/gate/questions.rs). */
const LOOKUP_MS = 3000
/** Each holds a thread of the few that Node has for files and names together. */
const AT_ONCE = 2
const KEPT_MS = 10_000
const MAX_KEPT = 512
const MAX_WAITING = 256

/** Names as this machine's own resolver knows them, its hosts file included. Bounded in time, in number, and in how much is remembered. */
export class HostNames {
  readonly #kept = new Map<string, { addresses: readonly string[]; untilMs: number }>()
  readonly #asking = new Map<string, Promise<readonly string[]>>()
  readonly #turns: (() => void)[] = []
  #free = AT_ONCE

  /** None: there is no such name, or it could not be found in time. */
  async addresses(name: string, signal: AbortSignal): Promise<readonly string[]> {
    const kept = this.#kept.get(name)
    if (kept !== undefined && kept.untilMs > Date.now()) return kept.addresses
    try {
      return await orAborted(this.#asking.get(name) ?? this.#ask(name), within(LOOKUP_MS, signal))
    } catch {
      // Whatever the reason: a name without an address is a no.
      return []
    }
  }

  #ask(name: string): Promise<readonly string[]> {
    if (this.#turns.length >= MAX_WAITING) return Promise.resolve([])
    const asking = this.#lookUp(name).finally(() => this.#asking.delete(name))
    this.#asking.set(name, asking)
    return asking
  }

  async #lookUp(name: string): Promise<readonly string[]> {
    if (this.#free > 0) this.#free -= 1
    else await new Promise<void>((resolve) => this.#turns.push(resolve))
    try {
      const addresses = (await lookup(name, { all: true })).map(({ address }) => address)
      this.#keep(name, addresses)
      return addresses
    } finally {
      const next = this.#turns.shift()
      if (next === undefined) this.#free += 1
      else next()
    }
  }

  #keep(name: string, addresses: readonly string[]): void {
    this.#kept.delete(name)
    this.#kept.set(name, { addresses, untilMs: Date.now() + KEPT_MS })
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest)
  }
}
