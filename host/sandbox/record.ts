import type { CreateRequest, Death, Network, Plan, WallName } from '@caisson/wire'
import type { E2bNetwork } from '../airlock/e2b.ts'

/** The holder of a key. Sandboxes, snapshots and templates of one owner do not exist for another. */
export interface Owner {
  /** Several keys may have the same owner. */
  readonly name: string
  /** Id of the key that was used. */
  readonly keyId: string
  /** May use what affects this machine: mounts, doctor, keys, the audit log. */
  readonly operator: boolean
  readonly quotas: Quotas
  /** The weakest wall that its sandboxes may have. */
  readonly leastWall: WallName
}

/** What one owner may use at once; null: as much as the machine has. */
export interface Quotas {
  readonly sandboxes: number | null
  readonly createsPerSecond: number | null
  readonly cpus: number | null
  readonly memoryMiB: number | null
  /** Disk space of sandboxes and workspaces, counted at their full size, and of saved memory. */
  readonly diskMiB: number | null
  /** For snapshots, null means the daemon's default (settings.ts). */
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

/** What happens at a sandbox's time limit, and when traffic arrives for a paused one. */
export interface Lifecycle {
  readonly onTimeout: 'kill' | 'pause'
  /** Whether a pause at the time limit keeps processes, or only files. */
  readonly pauseMemory: boolean
  readonly autoResume: boolean
}

/** Who may reach servers inside, and how requests are passed on. */
export interface Traffic {
  /** False: every port but the agent's requires `trafficToken`. */
  readonly public: boolean
  /** Host header shown to servers inside; `${PORT}` stands for the port. */
  readonly maskRequestHost: string | null
  /** Ports inside that speak TLS. */
  readonly httpsPorts: readonly number[]
}

/** What is left of a paused sandbox: frozen processes, processes saved on disk, or only a disk to boot from. */
export type Paused = 'frozen' | 'asleep' | 'stopped'

export interface ContextRecord {
  readonly id: string
  readonly language: string
  readonly cwd: string
  /** Pid inside; null: no process exists yet, or any more. */
  readonly pid: number | null
  readonly isDefault: boolean
}

/** Contexts after their processes have ended: they still exist, without state. */
export function emptied(contexts: readonly ContextRecord[]): ContextRecord[] {
  return contexts.map((context) => ({ ...context, pid: null }))
}

/** Everything known about one sandbox of a daemon; a row of the store. */
export interface SandboxRecord {
  readonly id: string
  readonly owner: string
  /** The template or snapshot that it was created from, by a name that the caller can use again. */
  readonly templateId: string
  /** Its alias, if it has one. */
  readonly alias: string | null
  /** The request, from which it boots again. `network` is always set, to the rules that apply now. */
  readonly request: CreateRequest
  readonly plan: Plan
  readonly state: 'running' | 'paused' | 'gone'
  readonly paused: Paused | null
  readonly pausedMs: number | null
  /** It was paused with its files only, so traffic does not wake it. */
  readonly filesOnly: boolean
  readonly metadata: Readonly<Record<string, string>>
  readonly env: Readonly<Record<string, string>>
  readonly startedMs: number
  /** End of its time. Stored, never recomputed, so that it stays the same to the millisecond. */
  readonly endMs: number
  readonly lifecycle: Lifecycle
  readonly traffic: Traffic
  /** E2B's own network fields, which `request.network` expresses in our terms; null: they were not used. */
  readonly egress: E2bNetwork | null
  /** Required in X-Access-Token by the agent's port; null: the sandbox was created with `secure: false`. */
  readonly accessToken: string | null
  readonly trafficToken: string | null
  /** It was made to trust the inspecting gate after its rules changed; absent: it has from the start, or nothing is inspected. */
  readonly trusts?: true
  readonly contexts: readonly ContextRecord[]
  /** For a sandbox that is gone: why, and when. */
  readonly reason: string | null
  readonly goneMs: number | null
  /** Resources that its processes used, if its keeper could tell. */
  readonly used?: Used | undefined
}

/** Limit on caller-supplied text that is kept for a sandbox that is gone; there may be thousands. */
const MAX_REMEMBERED_CHARACTERS = 4096

/** What is kept of a sandbox that is gone: owner, kind and end. Its environment, which may hold secrets, is dropped, and so is very long text. */
export function remains(record: SandboxRecord): SandboxRecord {
  const { request, plan, metadata } = record
  const network = plan.network.mode === 'gate' ? { ...plan.network, policy: {} } : plan.network
  const kept: SandboxRecord = { ...record, plan: { ...plan, network }, env: {}, egress: null }
  return JSON.stringify([request, metadata]).length <= MAX_REMEMBERED_CHARACTERS ? kept : { ...kept, request: {}, metadata: {} }
}

/** As in a `Death`. */
export type Used = Pick<Death, 'peakMemoryBytes' | 'cpuUs'>

/** A sandbox's files at one moment, with its memory if present, to create other sandboxes from. */
export interface SnapshotRecord {
  readonly id: string
  readonly owner: string
  readonly names: readonly string[]
  /** The sandbox that it was taken of. */
  readonly sandboxId: string
  readonly template: string
  readonly profile: string
  /** The wall that its files were written behind; absent: it dates from when there was only one wall. Sandboxes made from it get no weaker one. */
  readonly wall?: WallName
  readonly diskMiB: number
  /** The network of its sandbox. Sandboxes made from it get the same, unless asked for otherwise. */
  readonly network: Network | null
  /** Path on the host. */
  readonly disk: string
  /** Plan and contexts of the sandbox whose memory lies beside the disk; absent: files only. */
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
