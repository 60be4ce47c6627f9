import type { CreateRequest, Death, Network, Plan, WallName } from '@caisson/wire'
import type { E2bNetwork } from '../airlock/e2b.ts'

/** Whoever holds a key. Sandboxes, snapshots and templates of one owner do not exist for another. */
export interface Owner {
  /** Name of the owner; several keys may have the same. */
  readonly name: string
  /** Of the key that was used. */
  readonly keyId: string
  /** May use what touches this machine: mounts, doctor, keys, the audit log. */
  readonly operator: boolean
  readonly quotas: Quotas
  /** Its sandboxes get no weaker one. */
  readonly leastWall: WallName
}

/** What one owner may use at once; null: as much as the machine has. */
export interface Quotas {
  readonly sandboxes: number | null
  readonly createsPerSecond: number | null
  readonly cpus: number | null
  readonly memoryMiB: number | null
  /** Of disks, as large as they may become: of sandboxes and of workspaces; with memory that lies there. */
  readonly diskMiB: number | null
  /** Of snapshots null is what the daemon says for everybody (settings.ts). */
  readonly snapshots: number | null
  readonly snapshotMiB: number | null
}

export const NO_QUOTAS: Quotas = {
  sandboxes: null,
  createsPerSecond: null,
  cpus: null,
  memoryMiB: null,
  diskMiB: null,
  snapshots: null,
  snapshotMiB: null,
}

/** What happens when the time of a sandbox is over, and when somebody knocks on one that is paused. */
export interface Lifecycle {
  readonly onTimeout: 'kill' | 'pause'
  /** Of a pause at the time limit: processes are kept, or only files. */
  readonly pauseMemory: boolean
  readonly autoResume: boolean
}

/** Who may reach servers inside, and what they are told. */
export interface Traffic {
  /** False: every port but the agent's wants `trafficToken`. */
  readonly public: boolean
  /** Host header shown to servers inside; `${PORT}` stands for the port. */
  readonly maskRequestHost: string | null
  /** Ports that speak TLS inside. */
  readonly httpsPorts: readonly number[]
}

/** What there is of a paused sandbox: frozen processes, processes that were written to a disk, or a disk to boot from. */
export type Paused = 'frozen' | 'asleep' | 'stopped'

export interface ContextRecord {
  readonly id: string
  readonly language: string
  readonly cwd: string
  /** Inside; null: no process stands behind it yet, or any more. */
  readonly pid: number | null
  readonly isDefault: boolean
}

/** What is left of contexts when their processes have ended: they are there, and know nothing. */
export function emptied(contexts: readonly ContextRecord[]): ContextRecord[] {
  return contexts.map((context) => ({ ...context, pid: null }))
}

/** All that is known of one sandbox of a daemon; a row of the store. */
export interface SandboxRecord {
  readonly id: string
  readonly owner: string
  /** What it was created from: a template or a snapshot, as the caller may name it again. */
  readonly templateId: string
  /** What that is called, if it has a name. */
  readonly alias: string | null
  /** As it was asked for: what it boots from again. `network` is always said: what holds for it, now. */
  readonly request: CreateRequest
  readonly plan: Plan
  readonly state: 'running' | 'paused' | 'gone'
  readonly paused: Paused | null
  readonly pausedMs: number | null
  /** It was paused so that only its files stay: traffic does not wake it. */
  readonly filesOnly: boolean
  readonly metadata: Readonly<Record<string, string>>
  readonly env: Readonly<Record<string, string>>
  readonly startedMs: number
  /** When its time is over; stored, never computed again, so that it stays the same to the millisecond. */
  readonly endMs: number
  readonly lifecycle: Lifecycle
  readonly traffic: Traffic
  /** What E2B's fields said of what it may send out (`request.network` is what that means); null: it was not said in them. */
  readonly egress: E2bNetwork | null
  /** Wanted in X-Access-Token by the agent's port; null: the sandbox was created with `secure: false`. */
  readonly accessToken: string | null
  readonly trafficToken: string | null
  /** What looks into its connections is trusted by it since its rules were changed; absent: it is so from the start, or nothing does. */
  readonly trusts?: true
  readonly contexts: readonly ContextRecord[]
  /** Of one that is gone: why, and when. */
  readonly reason: string | null
  readonly goneMs: number | null
  /** What its processes used, of one whose keeper could tell. */
  readonly used?: Used | undefined
}

/** Of what a caller said of one that is gone; there may be thousands of them. */
const MAX_REMEMBERED_CHARACTERS = 4096

/** What is remembered of one that is gone: whose it was, what it was, how it ended. Its variables, which may be secrets, are not; nor is what was said at great length. */
export function remains(record: SandboxRecord): SandboxRecord {
  const { request, plan, metadata } = record
  const network = plan.network.mode === 'gate' ? { ...plan.network, policy: {} } : plan.network
  const kept: SandboxRecord = { ...record, plan: { ...plan, network }, env: {}, egress: null }
  return JSON.stringify([request, metadata]).length <= MAX_REMEMBERED_CHARACTERS ? kept : { ...kept, request: {}, metadata: {} }
}

/** As in a `Death`. */
export type Used = Pick<Death, 'peakMemoryBytes' | 'cpuUs'>

/** Files of a sandbox at one moment, and its memory where it is said, to create others from. */
export interface SnapshotRecord {
  readonly id: string
  readonly owner: string
  readonly names: readonly string[]
  /** The sandbox it was taken of. */
  readonly sandboxId: string
  readonly template: string
  readonly profile: string
  /** What its files were written behind; absent: it was taken when there was one wall. Nothing weaker is made from it. */
  readonly wall?: WallName
  readonly diskMiB: number
  /** What its sandbox could reach: what is made of it may reach the same, unless it is asked for otherwise. */
  readonly network: Network | null
  /** On the host. */
  readonly disk: string
  /** Its memory lies beside that disk, and is of a sandbox with this plan and these contexts; absent: files alone. */
  readonly memory?: { readonly plan: Plan; readonly contexts: readonly ContextRecord[] }
  readonly createdMs: number
}

/** One measurement of a sandbox. */
export interface Sample {
  readonly atMs: number
  readonly cpus: number
  /** Of all its CPUs together, 0 to 100. */
  readonly cpuUsedPct: number
  readonly memoryUsedBytes: number
  readonly memoryTotalBytes: number
  readonly memoryCacheBytes: number
  readonly diskUsedBytes: number
  readonly diskTotalBytes: number
}
