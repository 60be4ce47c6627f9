import type { Plan } from '@caisson/wire'
import type { Template } from '../templates/template.ts'
import type { Cell } from '../walls/wall.ts'
import type { ScanChoice } from './examination.ts'
import type { LiveSandbox } from './life.ts'
import type { Kept } from './plan.ts'
import type { ContextRecord } from './record.ts'
import type { Remembered } from './remembered.ts'

/** What a daemon specifies for a sandbox besides the request. */
export interface Given {
  /** The id of a sandbox that boots again. */
  id?: string
  kept?: Kept
  /** The memory to continue from, together with the disk. */
  remembered?: Remembered
  /** Owner of the sandbox and of its workspace; absent: the operator. */
  owner?: string
  onWall?: 'end' | 'freeze'
  /** Earlier contexts, whose processes have ended. */
  contexts?: readonly ContextRecord[]
  /** Called whenever contexts come or go. */
  contextsChanged?: (contexts: ContextRecord[]) => void
}

/** A running sandbox without an owner, in the pool. It ends with this host. */
export interface Waiting {
  readonly plan: Plan
  readonly cell: Cell
  readonly template: Template
  /** Complete but for what its owner brings. */
  readonly live: LiveSandbox
  readonly scan: ScanChoice
  readonly sha256: Sha256
}

/** Hashes of its profile (profile.ts) and of its network rules; null: it has none. */
export interface Sha256 {
  readonly profile: string
  readonly policy: string | null
}

/** What the owner of a pooled sandbox brings. */
export interface Assignment {
  owner: string
  env: Record<string, string>
  metadata: Record<string, string>
  wallMs: number | null
  onWall: 'end' | 'freeze'
}
