import { isDeepStrictEqual } from 'node:util'
import { Fault } from '@caisson/wire'
import type { Store } from '../store/store.ts'
import type { Quotas as Agreed, Owner, SandboxRecord } from './record.ts'

const MIB = 1024 * 1024
const RETRY_S = 2
const DISK_HINT = 'Ask for a smaller disk, or remove workspaces that are not used any more.'
const NOTHING: Disposable = { [Symbol.dispose]: () => undefined }

/** What one sandbox would take. What has no limit takes all there is: more than anybody may have who may not have everything. */
export interface Claim {
  readonly memoryMiB: number
  readonly cpus: number
  readonly diskMiB: number
}

export const NO_CLAIM: Claim = { memoryMiB: 0, cpus: 0, diskMiB: 0 }

const all = (limit: number | null): number => limit ?? Number.POSITIVE_INFINITY

/** What a sandbox takes: memory and processors while it runs, its disk until it is gone. */
export function claimOf({ plan: { limits, disk } }: Pick<SandboxRecord, 'plan'>): Claim {
  return { memoryMiB: all(limits.memoryBytes) / MIB, cpus: all(limits.cpuMilli) / 1000, diskMiB: disk.bytes / MIB }
}

/** What a sandbox has on the host's disk, or may come to have there. */
function keptOf(sandbox: SandboxRecord): number {
  const { memoryMiB, diskMiB } = claimOf(sandbox)
  return diskMiB + (sandbox.paused === 'asleep' ? memoryMiB : 0)
}

type Held = Pick<Owner, 'name' | 'quotas'>

interface Granted extends Claim {
  readonly sandboxes: number
  /** Of one that is to wake: it is one, however many knock. */
  readonly id?: string
}

/** What owners may have at once. What has been granted counts until it is let go: by then its sandbox lives, and is counted as that, or has not come to be. */
export class Quotas {
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>()
  readonly #granted = new Map<string, Set<Granted>>()
  /** As it was last said by a key of the owner: traffic that wakes a sandbox has none. In the store, too. */
  readonly #agreed: Map<string, Agreed>
  readonly #store: Pick<Store, 'put'>

  private constructor(store: Pick<Store, 'put'>, agreed: Map<string, Agreed>) {
    this.#store = store
    this.#agreed = agreed
  }

  /** Knows what was agreed before a restart. Rejects with STORE_UNUSABLE. */
  static async open(store: Pick<Store, 'put' | 'all'>): Promise<Quotas> {
    return new Quotas(store, new Map((await store.all('quota')).map(({ id, document }) => [id, document as Agreed])))
  }

  /**
   * For `count` new sandboxes. Rejects with QUOTA_EXCEEDED, STORE_UNUSABLE. `living`: everybody's, paused or not; asked when it is decided. `restingMiB`: of the
   * owner's workspaces that no sandbox has.
   */
  async grant({ name, quotas }: Held, living: Iterable<SandboxRecord>, claim: Claim, count: number, restingMiB = 0): Promise<Disposable> {
    await this.#agree({ name, quotas })
    const own = isLimited(quotas) ? of(name, living) : []
    const { memoryMiB, cpus, diskMiB } = claim
    const asked = { sandboxes: count, memoryMiB: memoryMiB * count, cpus: cpus * count, diskMiB: diskMiB * count }
    const sandboxes = own.length + this.#sum(name, ({ sandboxes }) => sandboxes) + count
    if (quotas.sandboxes !== null && sandboxes > quotas.sandboxes) throw over(name, quotas.sandboxes, 'sandboxes at once')
    this.#refuse({ name, quotas }, own, asked)
    this.#refuseDisk({ name, quotas }, own, asked, restingMiB)
    if (quotas.createsPerSecond !== null && !this.#spend(name, quotas.createsPerSecond, count)) {
      throw over(name, quotas.createsPerSecond, 'new sandboxes a second', 'Wait as long as Retry-After says.')
    }
    return this.#keep(name, asked)
  }

  /** For one that may be paused, and is going to run: by its owner, who says what was agreed, or by traffic that wakes it. Rejects with QUOTA_EXCEEDED, STORE_UNUSABLE. */
  async wake(sandbox: SandboxRecord, living: Iterable<SandboxRecord>, said?: Agreed): Promise<Disposable> {
    const { owner: name, state, lifecycle } = sandbox
    if (said !== undefined) await this.#agree({ name, quotas: said })
    const quotas = said ?? this.#agreed.get(name)
    if (state !== 'paused' || quotas === undefined || (said === undefined && !lifecycle.autoResume)) return NOTHING
    // It has its disk already.
    const asked = { sandboxes: 0, ...claimOf(sandbox), diskMiB: 0, id: sandbox.id }
    this.#refuse({ name, quotas }, of(name, living), asked)
    return this.#keep(name, asked)
  }

  /** For traffic to come: what the key said that its owner used just now. Writes only what has changed. */
  async #agree({ name, quotas }: Held): Promise<void> {
    if (isDeepStrictEqual(this.#agreed.get(name), quotas)) return
    await this.#store.put('quota', name, quotas)
    this.#agreed.set(name, quotas)
  }

  #refuse({ name, quotas }: Held, own: readonly SandboxRecord[], asked: Granted): void {
    const running = own.filter(({ state }) => state === 'running').map(claimOf)
    const taken = (part: (claim: Claim) => number) => running.reduce((sum, claim) => sum + part(claim), this.#sum(name, part, asked))
    const most = { memoryMiB: quotas.memoryMiB ?? Number.POSITIVE_INFINITY, cpus: quotas.cpus ?? Number.POSITIVE_INFINITY }
    if (taken(({ memoryMiB }) => memoryMiB) > most.memoryMiB) throw over(name, most.memoryMiB, 'MiB of memory in running sandboxes')
    if (taken(({ cpus }) => cpus) > most.cpus) throw over(name, most.cpus, 'CPUs in running sandboxes')
  }

  #refuseDisk({ name, quotas }: Held, own: readonly SandboxRecord[], asked: Granted, restingMiB: number): void {
    // Keys of earlier versions say nothing of it.
    const most = quotas.diskMiB ?? null
    if (most === null) return
    const taken = own.reduce(
      (sum, sandbox) => sum + keptOf(sandbox),
      this.#sum(name, ({ diskMiB }) => diskMiB, asked),
    )
    if (taken + restingMiB > most) throw over(name, most, 'MiB of disks (sandboxes, workspaces)', DISK_HINT)
  }

  #sum(name: string, part: (granted: Granted) => number, ...asked: readonly Granted[]): number {
    const whole = [...(this.#granted.get(name) ?? []), ...asked]
    const apart = whole.filter(({ id }, at) => id === undefined || whole.findIndex((one) => one.id === id) === at)
    return apart.reduce((sum, granted) => sum + part(granted), 0)
  }

  #keep(name: string, granted: Granted): Disposable {
    const mine = this.#granted.get(name) ?? new Set()
    this.#granted.set(name, mine.add(granted))
    return { [Symbol.dispose]: () => void (mine.delete(granted) && mine.size === 0 && this.#granted.delete(name)) }
  }

  #spend(owner: string, perSecond: number, count: number): boolean {
    const now = Date.now()
    const capacity = Math.max(1, perSecond)
    const bucket = this.#buckets.get(owner) ?? { tokens: capacity, atMs: now }
    bucket.tokens = Math.min(capacity, bucket.tokens + ((now - bucket.atMs) / 1000) * perSecond)
    bucket.atMs = now
    this.#buckets.set(owner, bucket)
    if (bucket.tokens < count) return false
    bucket.tokens -= count
    return true
  }
}

/** By what its other sandboxes take: where nothing is, they need not be looked at, and there may be thousands. */
function isLimited({ sandboxes, memoryMiB, cpus, diskMiB = null }: Agreed): boolean {
  return sandboxes !== null || memoryMiB !== null || cpus !== null || diskMiB !== null
}

function of(name: string, living: Iterable<SandboxRecord>): SandboxRecord[] {
  return [...living].filter(({ owner }) => owner === name)
}

function over(name: string, limit: number, what: string, hint?: string): Fault {
  return new Fault('QUOTA_EXCEEDED', `${name} may have ${limit} ${what}`, { retryAfterS: RETRY_S, ...(hint === undefined ? {} : { hint }) })
}
