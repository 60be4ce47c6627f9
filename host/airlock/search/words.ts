import type { Canary, Finding } from '@caisson/policy'

/** Findings since the last answer, and how many of the last bytes may be the start of another. */
export interface Told {
  readonly findings: readonly Finding[]
  readonly heldBytes: number
}

/** Which of a policy's automata: the full one, or that for values that may be split into pieces. */
export type Which = 'rules' | 'joining'

/** Codings without magic bytes, or with more output than a search's layers unpack. */
export type Coding = 'br' | 'deflate'

/** A run of bytes to search. */
export interface Wanted {
  /** The `source` of its policy. */
  readonly policy: string
  readonly which: Which
  readonly canaries: readonly Canary[]
  /** Decompress first. Null: search as it is. */
  readonly coding: Coding | null
  /** Data of earlier requests; findings only there have been judged. */
  readonly before: Uint8Array
}

/** Messages from the host to a searcher; `forget` has no answer. `said`: the part of this run that has already been judged. */
export type Order =
  | { readonly run: number; readonly order: 'begin'; readonly wanted: Wanted; readonly said: Uint8Array }
  | { readonly run: number; readonly order: 'write'; readonly bytes: Uint8Array }
  | { readonly run: number; readonly order: 'settle' }
  | { readonly run: number; readonly order: 'forget' }

export type Answer = { readonly run: number; readonly told: Told } | { readonly run: number; readonly failed: string }

/** The content is unknown, which must never be taken for harmless. */
export class NotSearched extends Error {}
