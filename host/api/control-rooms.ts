import type { CreateRequest, NetworkFile, Plan, WallName } from '@caisson/wire'
import type { DoctorReport } from '../doctor.ts'
import type { Profile } from '../sandbox/profile.ts'
import type { Owner } from '../sandbox/record.ts'
import type { SnapshotBounds, SnapshotUse } from '../sandbox/snapshot-room.ts'
import type { KnownTemplate } from '../templates/known.ts'
import type { TeamHistory } from './control/team-history.ts'
import type { Keys } from './keys.ts'

type NetworkRules = Exclude<NetworkFile, { mode: 'none' }>

/** A name that an owner has given to a template or a snapshot, beside `default`. */
export interface Tag {
  readonly tag: string
  readonly createdMs: number
}

/** Tags of one owner; those of others do not exist for it. `template` is a template's own name, or the id of a snapshot. */
export interface Tags {
  list(template: string, owner: Owner): Tag[]
  /** Twice is no error. */
  assign(template: string, tags: readonly string[], owner: Owner, signal: AbortSignal): Promise<void>
  /** Tags that are not there are no error. */
  remove(template: string, tags: readonly string[], owner: Owner, signal: AbortSignal): Promise<void>
}

/** Creations by their Idempotency-Key: a client that lost the answer asks again with the same key, and is to get the sandbox that was made first. */
export interface Replays {
  /** The id that `create` resolves with, now or when it was first asked with this key. Rejects with CONFLICT when that was another request. */
  once(owner: string, key: string, request: unknown, create: () => Promise<string>): Promise<string>
}

/** What the control plane works with besides the fleet; built by the daemon. */
export interface ControlRooms {
  /** The longest time that a sandbox may be given at once. */
  readonly maxTimeoutMs: number
  /** Path of the log that host/audit and the keepers append to. */
  readonly auditLog: string
  /** What concerns the machine, before it happens. Throws AUDIT_UNWRITABLE; then it does not. */
  record(by: string, act: string, detail: Readonly<Record<string, string | number | boolean | null>>): void
  readonly templates: {
    /** The template's own name, for its name or an alias of it. */
    named(name: string): string | undefined
    built(signal: AbortSignal): Promise<KnownTemplate[]>
  }
  readonly tags: Tags
  readonly keys: Keys
  /** What there is of an owner's snapshots, and what there may be. */
  snapshotRoom(owner: Pick<Owner, 'name' | 'quotas'>): { used: SnapshotUse; most: SnapshotBounds }
  readonly replays: Replays
  readonly teams: TeamHistory
  profiles(signal: AbortSignal): Promise<Profile[]>
  /** What `create` would hand to a keeper, made without building anything. */
  plan(request: CreateRequest, signal: AbortSignal): Promise<Plan>
  /** Rules with the password of their proxy, sealed. Rejects with POLICY_INVALID when nothing would get out through it. */
  proxied(network: NetworkRules, password: string | undefined, signal: AbortSignal): Promise<NetworkRules>
  doctor(signal: AbortSignal, wall?: WallName): Promise<DoctorReport>
}
