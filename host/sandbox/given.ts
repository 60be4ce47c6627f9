import type { Plan } from '@caisson/wire'
import type { Template } from '../templates/template.ts'
import type { Cell } from '../walls/wall.ts'
import type { ScanChoice } from './examination.ts'
import type { LiveSandbox } from './life.ts'
import type { Kept } from './plan.ts'
import type { ContextRecord } from './record.ts'
import type { Remembered } from './remembered.ts'

/** What a daemon says of a sandbox besides the request. */
export interface Given {
  /** Of one that boots again. */
  id?: string
  kept?: Kept
  /** Its memory, with that disk. */
  remembered?: Remembered
  /** Whose it is, and whose workspaces it may have; absent: the operator's. */
  owner?: string
  onWall?: 'end' | 'freeze'
  /** What it had before; their processes have ended. */
  contexts?: readonly ContextRecord[]
  /** Told whenever contexts come or go. */
  contextsChanged?: (contexts: ContextRecord[]) => void
}

/** A sandbox that stands, and belongs to nobody yet. It ends with this host. */
export interface Waiting {
  readonly plan: Plan
  readonly cell: Cell
  readonly template: Template
  /** All of it but what comes with whoever it will belong to. */
  readonly live: LiveSandbox
  readonly scan: ScanChoice
  readonly sha256: Sha256
}

/** Of its profile (profile.ts) and of its rules of the network; null: it has none. */
export interface Sha256 {
  readonly profile: string
  readonly policy: string | null
}

/** A life for it. */
export interface Assignment {
  owner: string
  env: Record<string, string>
  metadata: Record<string, string>
  wallMs: number | null
  onWall: 'end' | 'freeze'
}
