import type { Plan } from '@caisson/wire'
import type { AgentConnection } from '../agent/connection.ts'
import type { Denials } from '../airlock/denials.ts'
import type { AuditLog } from '../audit/log.ts'
import type { Template } from '../templates/template.ts'
import type { Cell } from '../walls/wall.ts'
import type { Examination } from './examination.ts'
import type { ContextRecord } from './record.ts'

/** The parts of a running sandbox. */
export interface LifeParts {
  plan: Plan
  /** Undefined: the operator, or not assigned yet. */
  owner: string | undefined
  cell: Cell
  agent: AgentConnection
  template: Template
  /** Environment of every process inside. */
  env: Record<string, string>
  auditLog: AuditLog
  denials: Denials
  /** Called after a failed fork. Resolves to the socket of a new zygote, or null. */
  freshZygote: (signal: AbortSignal) => Promise<string | null>
  /** Called whenever contexts come or go. */
  contextsChanged: (contexts: ContextRecord[]) => void
  /** Contexts from before this host process; null: the sandbox is new. */
  adopted: readonly ContextRecord[] | null
  /** Those contexts come from another sandbox's memory, and still have that one's random state. */
  renews: boolean
  /** Contexts from before its last boot. */
  kept: readonly ContextRecord[]
  /** Pids of warm interpreters inside. */
  forked: readonly number[]
  /** The certificate authority of the inspecting gate was added after the sandbox's start. */
  trustsLate: boolean
  /** Scans what it is about to run. */
  examination: Examination
  /** Removes what it leaves outside its wall; never rejects. */
  afterDeath?: () => Promise<void>
}

/** The parts that depend on its owner. */
export type Belonging = Pick<LifeParts, 'plan' | 'owner' | 'env' | 'examination'>
