import type { Destination, ServerTrust } from './dial.ts'
import { Upstream } from './upstream.ts'

/** Servers of one sandbox whose connections are kept; the one that was used least lately goes first. */
const MAX_SERVERS = 256

/** Whom the sandboxes talk to. What is kept for one is never used for another, and what was checked anew is dialled anew. */
export class Upstreams implements Disposable {
  readonly #trust: ServerTrust
  readonly #of = new Map<string, Map<string, Upstream>>()

  constructor(trust: ServerTrust) {
    this.#trust = trust
  }

  to(sandbox: string, scheme: 'http' | 'https', destination: Destination): Upstream {
    const all = this.#of.get(sandbox) ?? new Map<string, Upstream>()
    this.#of.set(sandbox, all)
    const { name, port, dial, through } = destination
    const key = JSON.stringify([scheme, name, port, [...dial].sort(), through])
    const upstream = all.get(key) ?? new Upstream(destination, scheme, this.#trust)
    all.delete(key)
    all.set(key, upstream)
    const [oldest] = all
    if (all.size > MAX_SERVERS && oldest !== undefined) {
      all.delete(oldest[0])
      oldest[1][Symbol.dispose]()
    }
    return upstream
  }

  /** It has ended, or its rules are others. */
  forget(sandbox: string): void {
    for (const upstream of this.#of.get(sandbox)?.values() ?? []) upstream[Symbol.dispose]()
    this.#of.delete(sandbox)
  }

  [Symbol.dispose](): void {
    for (const sandbox of [...this.#of.keys()]) this.forget(sandbox)
  }
}
