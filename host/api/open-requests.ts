import type { Duplex } from 'node:stream'
import { MAX_REQUESTS, MAX_SANDBOX_REQUESTS } from '@caisson/wire'
import type { Connections } from './connections.ts'

/** Running requests, limited per sandbox and per owner. */
export class OpenRequests {
  readonly #connections: Pick<Connections, 'busy'>
  readonly #ofSandbox = new Map<string, number>()
  readonly #ofOwner = new Map<string, number>()
  #all = 0

  constructor(connections: Pick<Connections, 'busy'>) {
    this.#connections = connections
  }

  /** Which limit is already reached; undefined: none. `owner`: the owner of the sandbox or of the presented key. */
  crowded(owner: string, sandboxId?: string): 'sandbox' | 'owner' | undefined {
    if (sandboxId !== undefined && (this.#ofSandbox.get(sandboxId) ?? 0) >= MAX_SANDBOX_REQUESTS) return 'sandbox'
    // At most as many as are still free: a single owner then gets at most half, and others find room.
    return (this.#ofOwner.get(counted(owner, sandboxId)) ?? 0) >= MAX_REQUESTS - this.#all ? 'owner' : undefined
  }

  /** Counts a request until the returned function is called. */
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

/** Counted separately: anybody can send requests to a sandbox, and its owner must still be able to end it. */
function counted(owner: string, sandboxId: string | undefined): string {
  return `${sandboxId === undefined ? 'by' : 'for'} ${owner}`
}

function add(counts: Map<string, number>, name: string, more: number): void {
  const count = (counts.get(name) ?? 0) + more
  if (count === 0) counts.delete(name)
  else counts.set(name, count)
}
