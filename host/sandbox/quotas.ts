import { isDeepStrictEqual } from 'node:util'
import { Fault } from '@caisson/wire'
import type { Store } from '../store/store.ts'
import type { Quotas as Agreed, Owner, SandboxRecord } from './record.ts'

const MIB = 1024 * 1024
const RETRY_S = 2
const DISK_HINT = 'Ask for a smaller disk, or remove workspaces that are not used any more.'
const NOTHING: Disposable = { [Symbol.dispose]: () => undefined }

/** What one sandbox would take. A resource without a limit counts as infinite: only an owner without a quota may have it. */
export interface Claim {
  readonly memoryMiB: number
  readonly cpus: number
  readonly diskMiB: number
}

export const NO_CLAIM: Claim = { memoryMiB: 0, cpus: 0, diskMiB: 0 }

const all = (limit: number | null): number => limit ?? Number.POSITIVE_INFINITY

/** What a sandbox takes: memory and CPUs while it runs, its disk until it is gone. */
export function claimOf({ plan: { limits, disk } }: Pick<SandboxRecord, 'plan'>): Claim {
  return { memoryMiB: all(limits.memoryBytes) / MIB, cpus: all(limits.cpuMilli) / 1000, diskMiB: disk.bytes / MIB }
}

/** Disk space on the host that a sandbox has, or may come to have. */
function keptOf(sandbox: SandboxRecord): number {
  const { memoryMiB, diskMiB } = claimOf(sandbox)
  return diskMiB + (sandbox.paused === 'asleep' ? memoryMiB : 0)
}

type Held = Pick<Owner, 'name' | 'quotas'>

interface Granted extends Claim {
  readonly sandboxes: number
  /** Id of a sandbox that is about to wake. It counts once, however many requests wake it. */
  readonly id?: string
}

/** Quotas per owner. A grant counts until it is disposed: by then its sandbox lives and is counted as such, or was not made. */
export class Quotas {
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>()
  readonly #granted = new Map<string, Set<Granted>>()
  /** Quotas as the owner's last used key stated them, also in the store: traffic that wakes a sandbox carries no key. */
  readonly #agreed: Map<string, Agreed>
  readonly #store: Pick<Store, 'put'>

  private constructor(store: Pick<Store, 'put'>, agreed: Map<string, Agreed>) {
    this.#store = store
    this.#agreed = agreed
  }

  /** Loads the quotas agreed before a restart. Rejects with STORE_UNUSABLE. */
  static async open(store: Pick<Store, 'put' | 'all'>): Promise<Quotas> {
    return new Quotas(store, new Map((await store.all('quota')).map(({ id, document }) => [id, document as Agreed])))
  }

  /**
   * Grants `count` new sandboxes. Rejects with QUOTA_EXCEEDED or STORE_UNUSABLE. `living`: all owners' sandboxes, paused or not; read when the decision is
   * made. `restingMiB`: workspaces of this owner that no sandbox has.
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

  /** Grants the waking of a sandbox: by its owner, with the quotas of the key, or by traffic. Rejects with QUOTA_EXCEEDED or STORE_UNUSABLE. */
  async wake(sandbox: SandboxRecord, living: Iterable<SandboxRecord>, said?: Agreed): Promise<Disposable> {
    const { owner: name, state, lifecycle } = sandbox
    if (said !== undefined) await this.#agree({ name, quotas: said })
    const quotas = said ?? this.#agreed.get(name)
    if (state !== 'paused' || quotas === undefined || (said === undefined && !lifecycle.autoResume)) return NOTHING
    // Its disk is counted already.
    const asked = { sandboxes: 0, ...claimOf(sandbox), diskMiB: 0, id: sandbox.id }
    this.#refuse({ name, quotas }, of(name, living), asked)
    return this.#keep(name, asked)
  }

  /** Remembers, for later traffic, what the key of this request says. Writes only changes. */
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
    // Keys of earlier versions lack this field.
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

/** Whether any quota depends on the owner's other sandboxes. If not, they are not counted; there may be thousands. */
function isLimited({ sandboxes, memoryMiB, cpus, diskMiB = null }: Agreed): boolean {
  return sandboxes !== null || memoryMiB !== null || cpus !== null || diskMiB !== null
}

function of(name: string, living: Iterable<SandboxRecord>): SandboxRecord[] {
  return [...living].filter(({ owner }) => owner === name)
}

function over(name: string, limit: number, what: string, hint?: string): Fault {
  return new Fault('QUOTA_EXCEEDED', `${name} may have ${limit} ${what}`, { retryAfterS: RETRY_S, ...(hint === undefined ? {} : { hint }) })
}
