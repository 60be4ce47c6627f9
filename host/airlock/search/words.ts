import type { Canary, Finding } from '@caisson/policy'

/** What a search has found since the last time, and how many of the last bytes may be the start of more. */
export interface Told {
  readonly findings: readonly Finding[]
  readonly heldBytes: number
}

/** Which of a policy's machines: all that it names, or those whose values may be cut in pieces. */
export type Which = 'rules' | 'joining'

/** What has no mark of its own, or is more than the layers of a search unpack. */
export type Coding = 'br' | 'deflate'

/** One run of bytes that is to be searched. */
export interface Wanted {
  /** The `source` of its policy. */
  readonly policy: string
  readonly which: Which
  readonly canaries: readonly Canary[]
  /** It is unpacked first. Null: it is searched as it is. */
  readonly coding: Coding | null
  /** What went before in other requests; what is found there alone has been judged. */
  readonly before: Uint8Array
}

/** What the host says to a searcher; `forget` has no answer. `said`: of this run, and judged already. */
export type Order =
  | { readonly run: number; readonly order: 'begin'; readonly wanted: Wanted; readonly said: Uint8Array }
  | { readonly run: number; readonly order: 'write'; readonly bytes: Uint8Array }
  | { readonly run: number; readonly order: 'settle' }
  | { readonly run: number; readonly order: 'forget' }

export type Answer = { readonly run: number; readonly told: Told } | { readonly run: number; readonly failed: string }

/** It cannot be known what is in something: nobody may take that for nothing. */
export class NotSearched extends Error {}
