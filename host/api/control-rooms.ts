import type { CreateRequest, NetworkFile, Plan, WallName } from '@caisson/wire'
import type { DoctorReport } from '../doctor.ts'
import type { Profile } from '../sandbox/profile.ts'
import type { Owner } from '../sandbox/record.ts'
import type { SnapshotBounds, SnapshotUse } from '../sandbox/snapshot-room.ts'
import type { KnownTemplate } from '../templates/known.ts'
import type { TeamHistory } from './control/team-history.ts'
import type { Keys } from './keys.ts'

type NetworkRules = Exclude<NetworkFile, { mode: 'none' }>

/** A name besides `default` that an owner has given to a template or snapshot. */
export interface Tag {
  readonly tag: string
  readonly createdMs: number
}

/** Tags of one owner, invisible to others. `template` is a template's own name, or the id of a snapshot. */
export interface Tags {
  list(template: string, owner: Owner): Tag[]
  /** Idempotent. */
  assign(template: string, tags: readonly string[], owner: Owner, signal: AbortSignal): Promise<void>
  /** Missing tags are not an error. */
  remove(template: string, tags: readonly string[], owner: Owner, signal: AbortSignal): Promise<void>
}

/** Creations by their Idempotency-Key: a client that lost the answer repeats the request with the same key, and gets the sandbox that was created first. */
export interface Replays {
  /** Resolves with the id from `create`, called now or at the first request with this key. Rejects with CONFLICT if that request was a different one. */
  once(owner: string, key: string, request: unknown, create: () => Promise<string>): Promise<string>
}

/** What the control plane needs besides the fleet; built by the daemon. */
export interface ControlRooms {
  /** The longest timeout that a request may set. */
  readonly maxTimeoutMs: number
  /** Path of the log that host/audit and the keepers append to. */
  readonly auditLog: string
  /** Records an action on the machine before it happens. Throws AUDIT_UNWRITABLE, and then it must not happen. */
  record(by: string, act: string, detail: Readonly<Record<string, string | number | boolean | null>>): void
  readonly templates: {
    /** Resolves a template name or alias to the template's own name. */
    named(name: string): string | undefined
    built(signal: AbortSignal): Promise<KnownTemplate[]>
  }
  readonly tags: Tags
  readonly keys: Keys
  /** An owner's snapshots: current usage and limits. */
  snapshotRoom(owner: Pick<Owner, 'name' | 'quotas'>): { used: SnapshotUse; most: SnapshotBounds }
  readonly replays: Replays
  readonly teams: TeamHistory
  profiles(signal: AbortSignal): Promise<Profile[]>
  /** The plan that `create` would hand to a keeper, made without building anything. */
  plan(request: CreateRequest, signal: AbortSignal): Promise<Plan>
  /** The rules with their proxy's password sealed. Rejects with POLICY_INVALID if nothing could get out through the proxy. */
  proxied(network: NetworkRules, password: string | undefined, signal: AbortSignal): Promise<NetworkRules>
  doctor(signal: AbortSignal, wall?: WallName): Promise<DoctorReport>
}
