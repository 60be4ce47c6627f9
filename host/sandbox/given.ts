import type { Plan } from '@caisson/wire'
import type { AgentConnection } from '../agent/connection.ts'
import type { Template } from '../templates/template.ts'
import type { Cell } from '../walls/wall.ts'
import type { ScanChoice } from './examination.ts'
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
  readonly agent: AgentConnection
  readonly template: Template
  readonly scan: ScanChoice
  /** SHA-256 of its profile (profile.ts). */
  readonly profileHash: string
  /** Warm interpreters inside. */
  readonly forked: readonly number[]
}

/** A life for it. */
export interface Assignment {
  owner: string
  env: Record<string, string>
  metadata: Record<string, string>
  wallMs: number | null
  onWall: 'end' | 'freeze'
  contextsChanged: (contexts: ContextRecord[]) => void
}
