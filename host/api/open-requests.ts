import type { Duplex } from 'node:stream'
import { MAX_REQUESTS, MAX_SANDBOX_REQUESTS } from '@caisson/wire'
import type { Connections } from './connections.ts'

/** Requests under way: bounded by sandbox, and by owner. */
export class OpenRequests {
  readonly #connections: Pick<Connections, 'busy'>
  readonly #ofSandbox = new Map<string, number>()
  readonly #ofOwner = new Map<string, number>()
  #all = 0

  constructor(connections: Pick<Connections, 'busy'>) {
    this.#connections = connections
  }

  /** Whose they are too many of already; undefined: of nobody. `owner`: of the sandbox, or of the key that was shown. */
  crowded(owner: string, sandboxId?: string): 'sandbox' | 'owner' | undefined {
    if (sandboxId !== undefined && (this.#ofSandbox.get(sandboxId) ?? 0) >= MAX_SANDBOX_REQUESTS) return 'sandbox'
    // Never more than are left then: one alone has half at the most, and whoever comes finds room.
    return (this.#ofOwner.get(counted(owner, sandboxId)) ?? 0) >= MAX_REQUESTS - this.#all ? 'owner' : undefined
  }

  /** The result ends it. */
  admit(socket: Duplex, owner: string, sandboxId?: string): () => void {
    const quiet = this.#connections.busy(socket)
    this.#count(1, owner, sandboxId)
    return () => {
      quiet()
      this.#count(-1, owner, sandboxId)
    }
  }

  #count(more: number, owner: string, sandboxId: string | undefined): void {
    this.#all += more
    add(this.#ofOwner, counted(owner, sandboxId), more)
    if (sandboxId !== undefined) add(this.#ofSandbox, sandboxId, more)
  }
}

/** Apart: anybody may knock on a sandbox, and its owner must be able to end it. */
function counted(owner: string, sandboxId: string | undefined): string {
  return `${sandboxId === undefined ? 'by' : 'for'} ${owner}`
}

function add(counts: Map<string, number>, name: string, more: number): void {
  const count = (counts.get(name) ?? 0) + more
  if (count === 0) counts.delete(name)
  else counts.set(name, count)
}
