import { Fault, type Plan } from '@caisson/wire'
import type { Denial } from '../../host/airlock/denials.ts'
import type { Fleet, NetworkWish, SandboxEvent, Wish } from '../../host/sandbox/fleet.ts'
import { newId } from '../../host/sandbox/ids.ts'
import type { Owner, Sample, SandboxRecord, SnapshotRecord } from '../../host/sandbox/record.ts'

/** A fleet of records and nothing behind them: for shapes, parsing and paging. What sandboxes do is proven with real ones. */
export class FleetDouble implements Fleet {
  readonly records = new Map<string, SandboxRecord>()
  readonly taken: SnapshotRecord[] = []
  /** What was asked for, as the routes understood it. */
  readonly wishes: Wish[] = []
  readonly measured: Sample[] = []
  readonly #listeners = new Set<{ owner: string; listener: (event: SandboxEvent) => void }>()
  /** What the next fork gives, besides sandboxes. */
  forkFailure: Fault | undefined

  async create(wish: Wish, owner: Owner): Promise<SandboxRecord> {
    this.wishes.push(wish)
    return this.put(recordOf(wish, owner))
  }

  put(record: SandboxRecord): SandboxRecord {
    this.records.set(record.id, record)
    this.#say('created', record)
    return record
  }

  find(id: string, owner: Owner): SandboxRecord {
    const record = this.records.get(id)
    if (record === undefined || record.owner !== owner.name) throw new Fault('NOT_FOUND', `no sandbox ${JSON.stringify(id)}`)
    return record
  }

  list(owner: Owner): SandboxRecord[] {
    return [...this.records.values()].filter((record) => record.owner === owner.name && record.state !== 'gone')
  }

  async connect(id: string, owner: Owner, wish: { timeoutMs: number; memory: boolean }) {
    const record = this.#standing(id, owner)
    const endMs = Math.max(record.endMs, Date.now() + wish.timeoutMs)
    const isResumed = record.state === 'paused'
    return { record: this.#change({ ...record, endMs, state: 'running', paused: null }, isResumed ? 'resumed' : 'timeout'), isResumed }
  }

  async setTimeout(id: string, owner: Owner, timeoutMs: number): Promise<void> {
    this.#change({ ...this.#standing(id, owner), endMs: Date.now() + timeoutMs }, 'timeout')
  }

  async pause(id: string, owner: Owner, wish: { memory: boolean }): Promise<void> {
    const record = this.#standing(id, owner)
    if (record.state === 'paused') throw new Fault('CONFLICT', `sandbox ${id} is paused already`)
    this.#change({ ...record, state: 'paused', paused: wish.memory ? 'frozen' : 'stopped' }, 'paused')
  }

  async kill(id: string, owner: Owner): Promise<void> {
    this.#change({ ...this.#standing(id, owner), state: 'gone', paused: null, reason: 'kill: on request', goneMs: Date.now() }, 'gone')
  }

  async setNetwork(id: string, owner: Owner, { network, egress }: NetworkWish): Promise<void> {
    const record = this.#standing(id, owner)
    this.records.set(id, { ...record, request: { ...record.request, network }, egress })
  }

  async snapshot(id: string, owner: Owner, wish: { name?: string; memory?: boolean }): Promise<SnapshotRecord> {
    if (wish.memory === true) throw new Fault('UNSUPPORTED', 'memory: a double has none')
    const { plan } = this.#standing(id, owner)
    const names = wish.name === undefined ? [] : [wish.name]
    const sizes = { template: plan.template, profile: plan.profile, diskMiB: 1024, network: null, disk: '/nowhere', createdMs: Date.now() }
    const snapshot: SnapshotRecord = { id: newId('s'), owner: owner.name, names, sandboxId: id, ...sizes }
    this.taken.push(snapshot)
    return snapshot
  }

  snapshots(owner: Owner): SnapshotRecord[] {
    return this.taken.filter((snapshot) => snapshot.owner === owner.name)
  }

  async deleteSnapshot(id: string, owner: Owner): Promise<void> {
    const index = this.taken.findIndex((snapshot) => snapshot.id === id && snapshot.owner === owner.name)
    if (index < 0) throw new Fault('NOT_FOUND', `no snapshot ${JSON.stringify(id)}`)
    this.taken.splice(index, 1)
  }

  async fork(id: string, owner: Owner, wish: { count: number; timeoutMs: number }): Promise<(SandboxRecord | Fault)[]> {
    const record = this.#standing(id, owner)
    const forks = Array.from({ length: wish.count }, () => this.put({ ...record, id: newId('i'), endMs: Date.now() + wish.timeoutMs }))
    return this.forkFailure === undefined ? forks : [...forks.slice(1), this.forkFailure]
  }

  async samples(id: string, owner: Owner, span: { fromMs: number; toMs: number }): Promise<Sample[]> {
    this.#standing(id, owner)
    return this.measured.filter(({ atMs }) => atMs >= span.fromMs && atMs <= span.toMs)
  }

  ownerOf(): undefined {
    return undefined
  }

  enter(): Promise<never> {
    throw new Fault('SANDBOX_GONE', 'there is nothing in a double')
  }

  watch(owner: Owner, listener: (event: SandboxEvent) => void): () => void {
    const entry = { owner: owner.name, listener }
    this.#listeners.add(entry)
    return () => this.#listeners.delete(entry)
  }

  /** What a sandbox was not let reach, as a spec says it. */
  deny: (denial: Denial) => void = () => undefined

  watchDenials(id: string, owner: Owner, listener: (denial: Denial) => void): () => void {
    this.find(id, owner)
    this.deny = listener
    return () => {
      this.deny = () => undefined
    }
  }

  get listeners(): number {
    return this.#listeners.size
  }

  live(): Iterable<SandboxRecord> {
    return this.records.values()
  }

  #standing(id: string, owner: Owner): SandboxRecord {
    const record = this.find(id, owner)
    if (record.state === 'gone') throw new Fault('SANDBOX_GONE', `sandbox ${id} has ended`)
    return record
  }

  #change(record: SandboxRecord, kind: SandboxEvent['kind']): SandboxRecord {
    this.records.set(record.id, record)
    this.#say(kind, record)
    return record
  }

  #say(kind: SandboxEvent['kind'], record: SandboxRecord): void {
    for (const { owner, listener } of this.#listeners) if (owner === record.owner) listener({ kind, atMs: Date.now(), record })
  }
}

const MIB = 1024 * 1024

function recordOf(wish: Wish, owner: Owner): SandboxRecord {
  const id = newId('i')
  const { template = 'base', env = {}, metadata = {} } = wish.request
  return {
    id,
    owner: owner.name,
    templateId: template,
    alias: null,
    request: wish.request,
    plan: planOf(id, template, wish.timeoutMs),
    state: 'running',
    paused: null,
    pausedMs: null,
    filesOnly: false,
    metadata,
    env,
    startedMs: Date.now(),
    endMs: Date.now() + wish.timeoutMs,
    lifecycle: wish.lifecycle,
    traffic: wish.traffic,
    egress: wish.egress,
    accessToken: wish.secure ? 'an access token' : null,
    trafficToken: wish.traffic.public ? null : 'a traffic token',
    contexts: [],
    reason: null,
    goneMs: null,
  }
}

export function planOf(id: string, template: string, wallMs: number): Plan {
  return {
    version: 1,
    id,
    kind: 'sandbox',
    wall: 'container',
    engine: null,
    template,
    profile: 'e2b',
    leash: 'none',
    dir: `/secret/sandboxes/${id}`,
    deathRecord: `/secret/deaths/${id}.json`,
    agent: '/secret/agent',
    binds: [{ source: '/secret/templates', target: '/usr', mode: 'ro' }],
    symlinks: [],
    root: { kind: 'read-only' },
    files: [],
    writable: [],
    disk: { kind: 'image', image: '/secret/disks/1024.img', take: false, bytes: 1024 * MIB, inodes: 65_536 },
    hostName: id,
    user: { name: 'user', uid: 1000, gid: 1000, home: '/home/user' },
    network: { mode: 'none' },
    limits: {
      wallMs,
      onWall: 'end',
      memoryBytes: 512 * MIB,
      cpuMilli: 1500,
      pids: 128,
      openFiles: 1024,
      outputBytes: null,
      onHit: 'report',
    },
    capabilities: [],
    noNewPrivileges: true,
    seccomp: { profile: 'default', allowUserNamespaces: false },
    audit: { log: '/secret/audit.jsonl', commands: true, maxBytes: MIB },
    zygote: { socket: '/secret/zygote.sock', forks: 1 },
    serve: null,
  }
}
