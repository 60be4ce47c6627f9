import type { Fault } from '@caisson/wire'
import { withoutSeal } from '../airlock/egress-proxy.ts'
import { freshDeadline } from '../lifetimes.ts'
import type { Denial, Entered, Fleet, ForkWish, NetworkWish, SandboxEvent, Wish } from './fleet.ts'
import type { Owner, Sample, SandboxRecord, SnapshotRecord } from './record.ts'

/** An act of an owner, on one sandbox or on something shared. */
export interface Act {
  readonly kind: 'act'
  /** Empty: no sandbox in particular. */
  readonly sandbox: string
  /** Name of the owner. */
  readonly by: string
  readonly act: string
  readonly detail: Readonly<Record<string, string | number | boolean | null>>
}

const CLEANUP_MS = 10_000

/** A fleet that records every act of an owner before carrying it out. */
export class RecordedFleet implements Fleet {
  readonly #fleet: Fleet
  readonly #record: (act: Act) => void
  readonly #refuseBehind: () => void

  /** `record` throws if the record cannot be written; `refuseBehind` throws while records do not reach a required sink. */
  constructor(fleet: Fleet, record: (act: Act) => void, refuseBehind: () => void) {
    this.#fleet = fleet
    this.#record = record
    this.#refuseBehind = refuseBehind
  }

  /** The owner is recorded before anyone is told of the sandbox. How it was made is recorded earlier, before it exists. */
  async create(wish: Wish, owner: Owner, signal: AbortSignal): Promise<SandboxRecord> {
    this.#refuseBehind()
    const record = await this.#fleet.create(wish, owner, signal)
    return await this.#owned(record, owner, 'create')
  }

  async fork(id: string, owner: Owner, wish: ForkWish, signal: AbortSignal): Promise<(SandboxRecord | Fault)[]> {
    this.#fleet.find(id, owner)
    this.#refuseBehind()
    this.#act(id, owner, 'fork', { count: wish.count, memory: wish.memory ?? null })
    const made = await this.#fleet.fork(id, owner, wish, signal)
    return await Promise.all(made.map(async (one) => ('owner' in one ? await this.#owned(one, owner, 'create', { from: id }) : one)))
  }

  async connect(id: string, owner: Owner, wish: { timeoutMs: number; memory: boolean }, signal: AbortSignal) {
    this.#fleet.find(id, owner)
    this.#act(id, owner, 'connect', { timeoutMs: wish.timeoutMs })
    return await this.#fleet.connect(id, owner, wish, signal)
  }

  async setTimeout(id: string, owner: Owner, timeoutMs: number, signal: AbortSignal): Promise<void> {
    this.#fleet.find(id, owner)
    this.#act(id, owner, 'timeout', { timeoutMs })
    await this.#fleet.setTimeout(id, owner, timeoutMs, signal)
  }

  async pause(id: string, owner: Owner, wish: { memory: boolean }, signal: AbortSignal): Promise<void> {
    this.#fleet.find(id, owner)
    this.#act(id, owner, 'pause', { memory: wish.memory })
    await this.#fleet.pause(id, owner, wish, signal)
  }

  /** A kill is carried out even if it cannot be recorded: a full disk must not keep a sandbox alive. */
  async kill(id: string, owner: Owner, signal: AbortSignal): Promise<void> {
    this.#fleet.find(id, owner)
    try {
      this.#act(id, owner, 'kill', {})
    } finally {
      await this.#fleet.kill(id, owner, signal)
    }
  }

  async setNetwork(id: string, owner: Owner, wish: NetworkWish, signal: AbortSignal): Promise<void> {
    this.#fleet.find(id, owner)
    this.#act(id, owner, 'network', { rules: JSON.stringify(withoutSeal(wish.network)) })
    await this.#fleet.setNetwork(id, owner, wish, signal)
  }

  async snapshot(id: string, owner: Owner, wish: { name?: string; memory?: boolean }, signal: AbortSignal): Promise<SnapshotRecord> {
    this.#fleet.find(id, owner)
    this.#act(id, owner, 'snapshot', { name: wish.name ?? null, memory: wish.memory ?? null })
    return await this.#fleet.snapshot(id, owner, wish, signal)
  }

  async deleteSnapshot(id: string, owner: Owner, signal: AbortSignal): Promise<void> {
    this.#act('', owner, 'snapshot.delete', { id })
    await this.#fleet.deleteSnapshot(id, owner, signal)
  }

  find(id: string, owner: Owner): SandboxRecord {
    return this.#fleet.find(id, owner)
  }

  list(owner: Owner): SandboxRecord[] {
    return this.#fleet.list(owner)
  }

  snapshots(owner: Owner): SnapshotRecord[] {
    return this.#fleet.snapshots(owner)
  }

  samples(id: string, owner: Owner, span: { fromMs: number; toMs: number }, signal: AbortSignal): Promise<Sample[]> {
    return this.#fleet.samples(id, owner, span, signal)
  }

  ownerOf(id: string): string | undefined {
    return this.#fleet.ownerOf(id)
  }

  enter(id: string, signal: AbortSignal): Promise<Entered> {
    return this.#fleet.enter(id, signal)
  }

  watch(owner: Owner, listener: (event: SandboxEvent) => void): () => void {
    return this.#fleet.watch(owner, listener)
  }

  watchDenials(id: string, owner: Owner, listener: (denial: Denial) => void): () => void {
    return this.#fleet.watchDenials(id, owner, listener)
  }

  live(): Iterable<SandboxRecord> {
    return this.#fleet.live()
  }

  async #owned(record: SandboxRecord, owner: Owner, act: string, detail: Act['detail'] = {}): Promise<SandboxRecord> {
    try {
      this.#act(record.id, owner, act, detail)
      return record
    } catch (failure) {
      await this.#fleet.kill(record.id, owner, freshDeadline(CLEANUP_MS))
      throw failure
    }
  }

  #act(sandbox: string, owner: Owner, act: string, detail: Act['detail']): void {
    this.#record({ kind: 'act', sandbox, by: owner.name, act, detail })
  }
}
