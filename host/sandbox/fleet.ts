import type { CreateRequest, Fault, Network } from '@caisson/wire'
import type { Denial } from '../airlock/denials.ts'
import type { LiveSandbox } from './life.ts'
import type { Lifecycle, Owner, Sample, SandboxRecord, SnapshotRecord, Traffic } from './record.ts'

/** A request for a sandbox, with what E2B's API says besides. */
export interface Wish {
  /** `template` may name a template, an alias or a snapshot. */
  readonly request: CreateRequest
  readonly timeoutMs: number
  readonly lifecycle: Lifecycle
  readonly traffic: Traffic
  /** E2B's own network fields, which `request.network` expresses in our terms; null: they were not used. */
  readonly egress: SandboxRecord['egress']
  /** False: the agent's port requires no token. */
  readonly secure: boolean
}

/** A running sandbox, for a caller that talks to it. */
export interface Entered {
  readonly record: SandboxRecord
  readonly live: LiveSandbox
  /** Calls `leave` when the sandbox is paused or ends: the caller must then disconnect. The returned function unsubscribes. */
  onLeave(leave: () => void): () => void
}

export interface ForkWish {
  readonly count: number
  readonly timeoutMs: number
  /** Absent: with memory where that is possible. */
  readonly memory?: boolean
}

/** New network rules for a sandbox, also in E2B's terms if they were given so. */
export interface NetworkWish {
  readonly network: Network
  readonly egress: SandboxRecord['egress']
}

export type { Denial }

/** Something that happened to a sandbox. `timeout`: its end time was changed. */
export interface SandboxEvent {
  readonly kind: 'created' | 'paused' | 'resumed' | 'timeout' | 'gone'
  readonly atMs: number
  /** The record after the event. */
  readonly record: SandboxRecord
}

/** All sandboxes of a daemon: created, adopted, paused and ended. A sandbox of another owner is NOT_FOUND, as if it did not exist. */
export interface Fleet {
  /** Rejects with QUOTA_EXCEEDED, OVERLOADED, TEMPLATE_UNKNOWN, BAD_REQUEST, or as a launch does. */
  create(wish: Wish, owner: Owner, signal: AbortSignal): Promise<SandboxRecord>
  /** Also finds sandboxes that are gone, for a while. */
  find(id: string, owner: Owner): SandboxRecord
  /** Running and paused sandboxes, unordered. */
  list(owner: Owner): SandboxRecord[]
  /** Extends the life of a running sandbox (never shortens it), or resumes a paused one. `memory` false: from its files only. */
  connect(
    id: string,
    owner: Owner,
    wish: { timeoutMs: number; memory: boolean },
    signal: AbortSignal,
  ): Promise<{ record: SandboxRecord; isResumed: boolean }>
  /** Counted from now; may also shorten the time left. */
  setTimeout(id: string, owner: Owner, timeoutMs: number, signal: AbortSignal): Promise<void>
  /** Rejects with CONFLICT when it is paused already. */
  pause(id: string, owner: Owner, wish: { memory: boolean }, signal: AbortSignal): Promise<void>
  kill(id: string, owner: Owner, signal: AbortSignal): Promise<void>
  /** Applies at once and closes connections that are no longer allowed. Rejects with CONFLICT for a sandbox made without a gate, or POLICY_INVALID. */
  setNetwork(id: string, owner: Owner, wish: NetworkWish, signal: AbortSignal): Promise<void>
  /** `memory` absent: with memory where that is possible. Rejects with UNSUPPORTED or SNAPSHOT_FAILED. */
  snapshot(id: string, owner: Owner, wish: { name?: string; memory?: boolean }, signal: AbortSignal): Promise<SnapshotRecord>
  snapshots(owner: Owner): SnapshotRecord[]
  /** Rejects with NOT_FOUND. */
  deleteSnapshot(id: string, owner: Owner, signal: AbortSignal): Promise<void>
  /** Takes a snapshot, and makes this many sandboxes from it. */
  fork(id: string, owner: Owner, wish: ForkWish, signal: AbortSignal): Promise<(SandboxRecord | Fault)[]>
  /** Oldest first. */
  samples(id: string, owner: Owner, span: { fromMs: number; toMs: number }, signal: AbortSignal): Promise<Sample[]>
  /** Undefined: no such sandbox. */
  ownerOf(id: string): string | undefined
  /** For traffic, which knows only an id. Resumes the sandbox if its lifecycle says so. Rejects with SANDBOX_GONE or CONFLICT. */
  enter(id: string, signal: AbortSignal): Promise<Entered>
  /** Subscribes to the events of this owner's sandboxes; the returned function unsubscribes. */
  watch(owner: Owner, listener: (event: SandboxEvent) => void): () => void
  /** Subscribes to the network requests that this sandbox is denied; the returned function unsubscribes. Throws NOT_FOUND. */
  watchDenials(id: string, owner: Owner, listener: (denial: Denial) => void): () => void
  /** All live sandboxes: a signed link carries no id, so the token that made its signature is searched among them. */
  live(): Iterable<SandboxRecord>
}
