import type { CreateRequest, Fault, Network } from '@caisson/wire'
import type { Denial } from '../airlock/denials.ts'
import type { LiveSandbox } from './life.ts'
import type { Lifecycle, Owner, Sample, SandboxRecord, SnapshotRecord, Traffic } from './record.ts'

/** A sandbox as somebody wants it. */
export interface Wish {
  /** `template` of it may name a template, an alias, or a snapshot. */
  readonly request: CreateRequest
  readonly timeoutMs: number
  readonly lifecycle: Lifecycle
  readonly traffic: Traffic
  /** What E2B's fields said of what it may send out, as `network` of the request has it; null: it was not said in them. */
  readonly egress: SandboxRecord['egress']
  /** False: its agent's port wants no token. */
  readonly secure: boolean
}

/** A sandbox that somebody has work for. */
export interface Entered {
  readonly record: SandboxRecord
  readonly live: LiveSandbox
  /** Calls `leave` when it is paused or ends: whoever talks with it must let go. The result stops that. */
  onLeave(leave: () => void): () => void
}

export interface ForkWish {
  readonly count: number
  readonly timeoutMs: number
  /** Absent: with it where that can be. */
  readonly memory?: boolean
}

/** What a sandbox may reach from now on, and how it was said. */
export interface NetworkWish {
  readonly network: Network
  readonly egress: SandboxRecord['egress']
}

export type { Denial }

/** Something that happened to a sandbox; `timeout`: the end of its time was moved. */
export interface SandboxEvent {
  readonly kind: 'created' | 'paused' | 'resumed' | 'timeout' | 'gone'
  readonly atMs: number
  /** As it is afterwards. */
  readonly record: SandboxRecord
}

/** Every sandbox of a daemon: made, found, paused, ended. Of another owner: NOT_FOUND, as if there were none. */
export interface Fleet {
  /** Rejects with QUOTA_EXCEEDED, OVERLOADED, TEMPLATE_UNKNOWN, BAD_REQUEST, or as a launch does. */
  create(wish: Wish, owner: Owner, signal: AbortSignal): Promise<SandboxRecord>
  /** Knows those that are gone for a while longer. */
  find(id: string, owner: Owner): SandboxRecord
  /** Running and paused ones, in no order. */
  list(owner: Owner): SandboxRecord[]
  /** Extends the life of one that runs (never shortens it), resumes one that is paused. `memory` false: from its files only. */
  connect(
    id: string,
    owner: Owner,
    wish: { timeoutMs: number; memory: boolean },
    signal: AbortSignal,
  ): Promise<{ record: SandboxRecord; isResumed: boolean }>
  /** From now; may shorten. */
  setTimeout(id: string, owner: Owner, timeoutMs: number, signal: AbortSignal): Promise<void>
  /** Rejects with CONFLICT when it is paused already. */
  pause(id: string, owner: Owner, wish: { memory: boolean }, signal: AbortSignal): Promise<void>
  kill(id: string, owner: Owner, signal: AbortSignal): Promise<void>
  /** From now on; what is no longer allowed ends. Rejects with CONFLICT for one that was made without a gate, or POLICY_INVALID. */
  setNetwork(id: string, owner: Owner, wish: NetworkWish, signal: AbortSignal): Promise<void>
  /** `memory` absent: with it where that can be. Rejects with UNSUPPORTED or SNAPSHOT_FAILED. */
  snapshot(id: string, owner: Owner, wish: { name?: string; memory?: boolean }, signal: AbortSignal): Promise<SnapshotRecord>
  snapshots(owner: Owner): SnapshotRecord[]
  /** Rejects with NOT_FOUND. */
  deleteSnapshot(id: string, owner: Owner, signal: AbortSignal): Promise<void>
  /** As a snapshot, and so many sandboxes made from it. */
  fork(id: string, owner: Owner, wish: ForkWish, signal: AbortSignal): Promise<(SandboxRecord | Fault)[]>
  /** Oldest first. */
  samples(id: string, owner: Owner, span: { fromMs: number; toMs: number }, signal: AbortSignal): Promise<Sample[]>
  /** Undefined: there is no such sandbox. */
  ownerOf(id: string): string | undefined
  /** For traffic, which knows an id and nothing else. Resumes it where its lifecycle says so. Rejects with SANDBOX_GONE or CONFLICT. */
  enter(id: string, signal: AbortSignal): Promise<Entered>
  /** What happens to sandboxes of this owner from now on; the result stops that. */
  watch(owner: Owner, listener: (event: SandboxEvent) => void): () => void
  /** What one of them is not let reach, from now on; the result stops that. Throws NOT_FOUND. */
  watchDenials(id: string, owner: Owner, listener: (denial: Denial) => void): () => void
  /** Whose token a signature was made with: for signed links, which carry no id. */
  live(): Iterable<SandboxRecord>
}
