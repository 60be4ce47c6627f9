import { join } from 'node:path'
import { type CreateRequest, Fault, strongerWall, WALLS } from '@caisson/wire'
import type { Denials } from '../airlock/denials.ts'
import { freshDeadline } from '../lifetimes.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { Walls } from '../walls/walls.ts'
import { Admission } from './admission.ts'
import { adoptAll } from './adoption.ts'
import type { Creating } from './creating.ts'
import { Departed } from './departed.ts'
import type { Entered, Fleet, ForkWish, NetworkWish, SandboxEvent, Wish } from './fleet.ts'
import { asFault, forked } from './forked.ts'
import type { Given } from './given.ts'
import { newToken } from './ids.ts'
import type { LiveSandbox } from './life.ts'
import { Pool, type PoolCount } from './pool.ts'
import { claimOf, Quotas } from './quotas.ts'
import { Raising } from './raising.ts'
import type { ContextRecord, Owner, Sample, SandboxRecord, SnapshotRecord } from './record.ts'
import { Resident, type ResidentParts } from './resident.ts'
import { resting, taking } from './resting.ts'
import { Sampling } from './sampling.ts'
import { type Copied, ofSnapshot, Snapshots, type SnapshotsParts } from './snapshots.ts'
import { Strangers } from './strangers.ts'
import { withWorkspace } from './workspace-life.ts'

const CLEANUP_MS = 60_000

export interface FleetParts extends SnapshotsParts {
  readonly home: string
  readonly creating: Creating
  readonly walls: Pick<Walls, 'adopt' | 'bury' | 'promises' | 'salvageDisk' | 'remove'>
  readonly frozenGraceMs: number
  /** Kinds of sandbox to make in advance, and how many at the start. */
  readonly expected: readonly { request: CreateRequest; count: number }[]
  readonly telemetry: Pick<Telemetry, 'span' | 'meters'>
  readonly denials: Pick<Denials, 'listen'>
  readonly notice: (line: string) => void
}

/** The sandboxes of this machine's daemon. */
export class LocalFleet implements Fleet, AsyncDisposable {
  readonly #parts: FleetParts
  readonly #admission: Admission
  readonly #quotas: Quotas
  readonly #pool: Pool
  readonly #raising: Raising
  readonly #residents = new Map<string, Resident>()
  readonly #listeners = new Set<(event: SandboxEvent) => void>()
  readonly #sampling = new Sampling(() => this.#residents.values())
  readonly #snapshots: Snapshots
  readonly #kept: string
  #strangers: Strangers | undefined
  readonly #departed = new Departed()

  private constructor(parts: FleetParts, snapshots: Snapshots, quotas: Quotas) {
    this.#parts = parts
    this.#quotas = quotas
    this.#kept = join(parts.home, 'kept')
    this.#admission = new Admission(parts.home)
    const { creating, telemetry, notice } = parts
    const evicted = () => telemetry.meters.evicted()
    const contextsChanged = (id: string, contexts: ContextRecord[]) => this.#residents.get(id)?.contextsChanged(contexts)
    this.#pool = new Pool(parts.expected.length > 0, { creating, admission: this.#admission, evicted, contextsChanged, notice })
    this.#snapshots = snapshots
    this.#raising = new Raising({ ...parts, admission: this.#admission, pool: this.#pool, contextsChanged })
  }

  /** Adopts what an earlier daemon left. Rejects with STORE_UNUSABLE. */
  static async open(parts: FleetParts, signal: AbortSignal): Promise<LocalFleet> {
    const snapshots = await Snapshots.open(join(parts.home, 'snapshots'), parts)
    const fleet = new LocalFleet(parts, snapshots, await Quotas.open(parts.store))
    const { home, store, creating, walls, notice } = parts
    const contextsChanged = (id: string, contexts: ContextRecord[]) => fleet.#residents.get(id)?.contextsChanged(contexts)
    const { found, strangers } = await adoptAll({ home, keptFolder: fleet.#kept, store, creating, walls, contextsChanged, notice }, signal)
    for (const { record, live } of found) fleet.#keep(record, live)
    fleet.#strangers = new Strangers({ home, walls, notice }, strangers)
    await fleet.#forget()
    for (const { request, count } of parts.expected) fleet.#pool.expect(request, count)
    return fleet
  }

  get pool(): PoolCount {
    return this.#pool.count
  }

  async create(wish: Wish, owner: Owner, signal: AbortSignal): Promise<SandboxRecord> {
    const snapshot = wish.request.template === undefined ? undefined : this.#snapshots.find(wish.request.template, owner)
    const request = snapshot === undefined ? wish.request : ofSnapshot(wish.request, snapshot)
    const { timeoutMs: _, ...rest } = request
    const least = strongerWall(owner.leastWall, snapshot?.wall ?? WALLS[0])
    const wall = await this.#parts.creating.deciding.wallAtLeast(rest, least, signal)
    const walled: CreateRequest = wall === undefined ? rest : { ...rest, wall }
    const asked = snapshot === undefined ? await withWorkspace(this.#parts.creating.deciding, walled, wish, signal) : walled
    using _granted = await this.#admit(asked, owner, signal)
    const from = snapshot === undefined ? {} : this.#from(snapshot, true)
    const live = await this.#raising.raise(asked, wish, { owner: owner.name, ...from }, signal)
    const templateId = snapshot?.id ?? live.plan.template
    const network = await this.#parts.creating.deciding.network(asked, signal)
    const alias = snapshot === undefined ? templateId : (snapshot.names[0] ?? null)
    return this.#welcome(live, { ...wish, request: { ...asked, network } }, owner, { templateId, alias })
  }

  find(id: string, owner: Owner): SandboxRecord {
    return this.#resident(id, owner).record
  }

  list(owner: Owner): SandboxRecord[] {
    return [...this.live()].filter((record) => record.owner === owner.name)
  }

  async connect(id: string, owner: Owner, wish: { timeoutMs: number; memory: boolean }, signal: AbortSignal) {
    const resident = this.#resident(id, owner)
    const admit = (record: SandboxRecord) => this.#quotas.wake(record, this.live(), owner.quotas)
    using _granted = await admit(resident.record)
    const isResumed = await resident.resume(wish, admit, signal)
    return { record: resident.record, isResumed }
  }

  async setTimeout(id: string, owner: Owner, timeoutMs: number, signal: AbortSignal): Promise<void> {
    await this.#resident(id, owner).setTimeout(timeoutMs, signal)
  }

  async pause(id: string, owner: Owner, wish: { memory: boolean }, signal: AbortSignal): Promise<void> {
    await this.#resident(id, owner).pause(wish, signal)
  }

  async kill(id: string, owner: Owner, signal: AbortSignal): Promise<void> {
    await this.#resident(id, owner).kill(signal)
  }

  async setNetwork(id: string, owner: Owner, wish: NetworkWish, signal: AbortSignal): Promise<void> {
    await this.#resident(id, owner).setNetwork(wish, signal)
  }

  async snapshot(id: string, owner: Owner, wish: { name?: string; memory?: boolean }, signal: AbortSignal): Promise<SnapshotRecord> {
    const source = this.#resident(id, owner)
    this.#admission.refuse()
    return this.#snapshots.take(source, owner, wish, signal)
  }

  /** Space that snapshots take. */
  get kept(): Pick<Snapshots, 'room' | 'used'> {
    return this.#snapshots
  }

  snapshots(owner: Owner): SnapshotRecord[] {
    return this.#snapshots.list(owner)
  }

  async deleteSnapshot(id: string, owner: Owner, _signal: AbortSignal): Promise<void> {
    await this.#snapshots.remove(id, owner)
  }

  async fork(id: string, owner: Owner, wish: ForkWish, signal: AbortSignal): Promise<(SandboxRecord | Fault)[]> {
    const source = this.#resident(id, owner)
    const { record } = source
    const child = forked(record, owner, wish.timeoutMs)
    using _granted = await this.#quotas.grant(owner, this.live(), claimOf(record), wish.count, await resting(this.#parts.creating, owner))
    this.#admission.refuse()
    const copied = await this.#snapshots.copy(source, { memory: wish.memory, lasts: false }, signal)
    try {
      const { templateId, alias } = record
      const making = Array.from({ length: wish.count }, async () => {
        const live = await this.#raising.raise(child.request, child, { owner: owner.name, ...this.#from(copied, false) }, signal)
        return this.#welcome(live, child, owner, { templateId, alias })
      })
      return (await Promise.allSettled(making)).map((made) => (made.status === 'fulfilled' ? made.value : asFault(made.reason)))
    } finally {
      await this.#snapshots.discard(copied)
    }
  }

  #from(copied: Copied, lasts: boolean): Pick<Given, 'kept' | 'remembered'> {
    const remembered = this.#snapshots.remembered(copied, { lasts })
    return { kept: { image: copied.disk, take: false }, ...(remembered === undefined ? {} : { remembered }) }
  }

  samples(id: string, owner: Owner, span: { fromMs: number; toMs: number }, _signal: AbortSignal): Promise<Sample[]> {
    return this.#sampling.of(this.#resident(id, owner), span)
  }

  ownerOf(id: string): string | undefined {
    return this.#residents.get(id)?.record.owner
  }

  async enter(id: string, signal: AbortSignal): Promise<Entered> {
    const resident = this.#residents.get(id)
    if (resident === undefined) throw new Fault('SANDBOX_GONE', `there is no sandbox ${JSON.stringify(id.slice(0, 64))}`)
    const admit = (record: SandboxRecord) => this.#quotas.wake(record, this.live())
    using _granted = await admit(resident.record)
    return await resident.enter(admit, signal)
  }

  watchDenials: Fleet['watchDenials'] = (id, owner, listener) => this.#parts.denials.listen(this.find(id, owner).id, listener)

  watch(owner: Owner, listener: (event: SandboxEvent) => void): () => void {
    const mine = (event: SandboxEvent) => event.record.owner === owner.name && listener(event)
    this.#listeners.add(mine)
    return () => this.#listeners.delete(mine)
  }

  *live(): Generator<SandboxRecord> {
    for (const { record } of this.#residents.values()) {
      if (record.state !== 'gone') yield record
    }
  }

  /** Ends the daemon; its sandboxes live on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#sampling[Symbol.dispose]()
    await this.#strangers?.[Symbol.asyncDispose]()
    await this.#pool[Symbol.asyncDispose]()
    for (const resident of this.#residents.values()) resident.release()
  }

  /** Reserves room. To be disposed once the sandbox counts among the living. */
  async #admit(request: CreateRequest, owner: Owner, signal: AbortSignal): Promise<Disposable> {
    const { claim, restingMiB } = await taking(this.#parts.creating, owner, request, signal)
    this.#admission.refuse()
    return this.#quotas.grant(owner, this.live(), claim, 1, restingMiB)
  }

  /** Stores a new sandbox before anyone is told of it. */
  async #welcome(live: LiveSandbox, wish: Wish, owner: Owner, of: { templateId: string; alias: string | null }): Promise<SandboxRecord> {
    const { env = {}, metadata = {}, ...request } = wish.request
    const startedMs = Date.now()
    const record: SandboxRecord = {
      id: live.id,
      owner: owner.name,
      ...of,
      request,
      plan: live.plan,
      state: 'running',
      paused: null,
      pausedMs: null,
      filesOnly: false,
      metadata,
      env,
      startedMs,
      endMs: startedMs + wish.timeoutMs,
      lifecycle: wish.lifecycle,
      traffic: wish.traffic,
      egress: wish.egress,
      accessToken: wish.secure ? newToken() : null,
      trafficToken: wish.traffic.public ? null : newToken(),
      contexts: live.contextRecords(),
      reason: null,
      goneMs: null,
    }
    try {
      await this.#parts.telemetry.span('ready', {}, () => this.#parts.store.put('sandbox', record.id, record))
    } catch (failure) {
      await live.kill(freshDeadline(CLEANUP_MS))
      throw failure
    }
    this.#keep(record, live)
    this.#happened('created', record)
    return record
  }

  #keep(record: SandboxRecord, live: LiveSandbox | undefined): void {
    const happened: ResidentParts['happened'] = (kind, changed) => this.#happened(kind, changed)
    const parts: ResidentParts = { ...this.#parts, keptFolder: this.#kept, happened }
    this.#residents.set(record.id, new Resident(parts, record, live))
    if (record.state === 'gone') this.#departed.add(record.owner, { id: record.id, goneMs: record.goneMs ?? 0 })
  }

  #happened(kind: SandboxEvent['kind'], record: SandboxRecord): void {
    if (kind === 'gone') {
      this.#parts.telemetry.meters.ended(record.reason?.split(':')[0] ?? 'unknown')
      this.#departed.add(record.owner, { id: record.id, goneMs: record.goneMs ?? 0 })
      this.#forget().catch((failure: unknown) => this.#parts.notice(`those long gone could not be forgotten: ${String(failure)}`))
    }
    for (const listener of this.#listeners) listener({ kind, atMs: Date.now(), record })
  }

  async #forget(): Promise<void> {
    for (let id = this.#departed.forget(Date.now()); id !== undefined; id = this.#departed.forget(Date.now())) {
      this.#residents.delete(id)
      await this.#parts.store.remove('sandbox', id)
    }
  }

  #resident(id: string, owner: Owner): Resident {
    const resident = this.#residents.get(id)
    if (resident === undefined || resident.record.owner !== owner.name)
      throw new Fault('NOT_FOUND', `no sandbox ${JSON.stringify(id.slice(0, 64))}`)
    return resident
  }
}
