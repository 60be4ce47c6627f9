import type { Destination, ServerTrust } from './dial.ts'
import { Upstream } from './upstream.ts'

/** Servers per sandbox whose connections are kept; the least recently used is dropped first. */
const MAX_SERVERS = 256

interface Reached {
  readonly over: AbortController
  readonly servers: Map<string, Upstream>
}

/** The servers that sandboxes talk to. Connections are never shared between sandboxes, and a newly checked destination is dialled anew. */
export class Upstreams implements Disposable {
  readonly #trust: ServerTrust
  readonly #of = new Map<string, Reached>()

  constructor(trust: ServerTrust) {
    this.#trust = trust
  }

  to(sandbox: string, scheme: 'http' | 'https', destination: Destination): Upstream {
    const reached = this.#of.get(sandbox) ?? { over: new AbortController(), servers: new Map<string, Upstream>() }
    this.#of.set(sandbox, reached)
    const { over, servers } = reached
    const { name, port, dial, through } = destination
    const key = JSON.stringify([scheme, name, port, [...dial].sort(), through])
    const upstream = servers.get(key) ?? new Upstream(destination, scheme, { trust: this.#trust, over: over.signal })
    servers.delete(key)
    servers.set(key, upstream)
    const [oldest] = servers
    if (servers.size > MAX_SERVERS && oldest !== undefined) {
      servers.delete(oldest[0])
      oldest[1].letGo()
    }
    return upstream
  }

  /** The sandbox has ended or its rules have changed: everything that it has running ends. */
  forget(sandbox: string): void {
    this.#of.get(sandbox)?.over.abort()
    this.#of.delete(sandbox)
  }

  [Symbol.dispose](): void {
    for (const sandbox of [...this.#of.keys()]) this.forget(sandbox)
  }
}
