import type { Proposal, ScanFinding, Scanned, ScanRule } from '@caisson/policy'

export type { ScanFinding, Scanned }

/** The protocol between the host and the scan thread. */
export interface Order {
  readonly order: number
  readonly language: Scanned
  readonly code: string
  readonly sets: readonly ScanRule['set'][]
}

export interface Seen {
  readonly findings: readonly ScanFinding[]
  readonly proposal: Proposal
}

export type Answer = { readonly order: number; readonly seen: Seen } | { readonly order: number; readonly unseen: string }
