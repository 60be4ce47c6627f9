import type { Plan } from '@caisson/wire'
import type { AgentConnection } from '../agent/connection.ts'
import type { Denials } from '../airlock/denials.ts'
import type { AuditLog } from '../audit/log.ts'
import type { Template } from '../templates/template.ts'
import type { Cell } from '../walls/wall.ts'
import type { Examination } from './examination.ts'
import type { ContextRecord } from './record.ts'

/** What a sandbox that lives is made of. */
export interface LifeParts {
  plan: Plan
  /** Undefined: the operator, or nobody yet. */
  owner: string | undefined
  cell: Cell
  agent: AgentConnection
  template: Template
  /** What every process inside starts with. */
  env: Record<string, string>
  auditLog: AuditLog
  denials: Denials
  /** After a fork failed: another zygote, or null. */
  freshZygote: (signal: AbortSignal) => Promise<string | null>
  /** Told whenever contexts come or go. */
  contextsChanged: (contexts: ContextRecord[]) => void
  /** Contexts that were there before this process; null: the sandbox is new. */
  adopted: readonly ContextRecord[] | null
  /** Those are of another whose memory it goes on from: what they know of chance is that one's. */
  renews: boolean
  /** Contexts that it had before it booted again. */
  kept: readonly ContextRecord[]
  /** Warm interpreters inside. */
  forked: readonly number[]
  /** What looks into its connections was brought to it after it stood. */
  trustsLate: boolean
  /** Looks at what it is to run. */
  examination: Examination
  /** What of it is left outside of its wall is removed; never rejects. */
  afterDeath?: () => Promise<void>
}

/** Of those, what whoever it belongs to has it be. */
export type Belonging = Pick<LifeParts, 'plan' | 'owner' | 'env' | 'examination'>
