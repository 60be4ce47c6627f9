import { statfsSync } from 'node:fs'
import { availableParallelism, freemem, totalmem } from 'node:os'
import { Fault } from '@caisson/wire'
import { orAborted } from '../lifetimes.ts'
import type { Owner, SandboxRecord } from './record.ts'

const MIB = 1024 * 1024
/** Below this much memory that can still be had, a new sandbox would be made at the others' cost. */
const RESERVED_MEMORY_BYTES = Math.max(256 * MIB, totalmem() * 0.03)
const RESERVED_DISK_BYTES = 512 * MIB
/** Asking the machine costs a few system calls; a burst asks once. */
const LOOK_MS = 200
/** Launches at once; more would only make each of them slower. */
const LAUNCHES = availableParallelism() * 2
/** Waiting for a turn; then the answer is an honest no. */
const MAX_QUEUE = 512
const RETRY_S = 2

/** What an owner has, and what one more would be. */
export interface Claim {
  readonly memoryMiB: number
  readonly cpus: number
}

/** Says no before the machine drowns, and before an owner takes more than was agreed. */
export class Admission {
  readonly #home: string
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>()
  readonly #queue: (() => void)[] = []
  #running = 0
  #looked = { atMs: 0, lacks: undefined as string | undefined }

  constructor(home: string) {
    this.#home = home
  }

  /** Throws QUOTA_EXCEEDED or OVERLOADED. `living` are the owner's sandboxes. */
  admit(owner: Owner, living: readonly SandboxRecord[], claim: Claim, count = 1): void {
    const { quotas } = owner
    const running = living.filter(({ state }) => state === 'running')
    const over = (what: string, limit: number, hint?: string) => {
      const options = { retryAfterS: RETRY_S, ...(hint === undefined ? {} : { hint }) }
      return new Fault('QUOTA_EXCEEDED', `${owner.name} may have ${limit} ${what}`, options)
    }
    if (quotas.sandboxes !== null && living.length + count > quotas.sandboxes) throw over('sandboxes at once', quotas.sandboxes)
    const sum = (of: (record: SandboxRecord) => number) => running.reduce((total, record) => total + of(record), 0)
    const memoryMiB = quotas.memoryMiB === null ? 0 : sum(({ plan }) => (plan.limits.memoryBytes ?? 0) / MIB) + claim.memoryMiB * count
    if (quotas.memoryMiB !== null && memoryMiB > quotas.memoryMiB) throw over('MiB of memory in running sandboxes', quotas.memoryMiB)
    const cpus = quotas.cpus === null ? 0 : sum(({ plan }) => (plan.limits.cpuMilli ?? 0) / 1000) + claim.cpus * count
    if (quotas.cpus !== null && cpus > quotas.cpus) throw over('CPUs in running sandboxes', quotas.cpus)
    if (quotas.createsPerSecond !== null && !this.#spend(owner.name, quotas.createsPerSecond, count)) {
      throw over('new sandboxes a second', quotas.createsPerSecond, 'Wait as long as Retry-After says.')
    }
    const lacks = this.#lacks()
    if (lacks !== undefined) throw new Fault('OVERLOADED', lacks, { retryAfterS: RETRY_S })
  }

  /** Runs when it is its turn. Rejects with OVERLOADED when too many wait already. */
  async inTurn<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    if (this.#running >= LAUNCHES) {
      if (this.#queue.length >= MAX_QUEUE)
        throw new Fault('OVERLOADED', `${MAX_QUEUE} sandboxes wait to be made already`, { retryAfterS: RETRY_S })
      let mine: () => void = () => undefined
      const turn = new Promise<void>((resolve) => {
        mine = resolve
        this.#queue.push(resolve)
      })
      try {
        await orAborted(turn, signal)
      } catch (failure) {
        const index = this.#queue.indexOf(mine)
        if (index >= 0) this.#queue.splice(index, 1)
        // Its turn came in the same moment.
        else this.#next()
        throw failure
      }
    } else this.#running += 1
    try {
      return await work()
    } finally {
      this.#next()
    }
  }

  #next(): void {
    const next = this.#queue.shift()
    if (next === undefined) this.#running -= 1
    else next()
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

  #lacks(): string | undefined {
    const now = Date.now()
    if (now - this.#looked.atMs < LOOK_MS) return this.#looked.lacks
    const memory = freemem()
    const { bavail, bsize } = statfsSync(this.#home)
    const disk = bavail * bsize
    let lacks: string | undefined
    if (memory < RESERVED_MEMORY_BYTES) lacks = `only ${Math.floor(memory / MIB)} MiB of memory are left on this machine`
    else if (disk < RESERVED_DISK_BYTES) lacks = `only ${Math.floor(disk / MIB)} MiB are left on the disk of ${this.#home}`
    this.#looked = { atMs: now, lacks }
    return lacks
  }
}
