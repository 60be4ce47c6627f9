import type { HttpRequest } from '@caisson/policy'
import type { Through } from '../egress.ts'
import type { Refusal } from '../refusal-page.ts'
import type { Keep } from './from-kept.ts'
import type { Passage } from './passage.ts'

/** What a request asks for, as it is to be judged. */
export interface Wanted extends HttpRequest {
  readonly method: string
  /** Where to; absent: where the connection goes. Only a request to the HTTP proxy may say it. */
  readonly target?: { readonly name: string | null; readonly address: string | null; readonly port: number }
}

export type Judged =
  | {
      readonly allowed: true
      readonly name: string | null
      readonly port: number
      /** Checked at this moment. */
      readonly dial: readonly string[]
      /** A proxy that they are asked for; null: they are dialled. */
      readonly through: Through | null
      readonly passage: Passage | null
      /** Its answers may be kept; null: not. */
      readonly keep: Keep | null
    }
  | { readonly allowed: false; readonly refusal: Refusal }

/** A connection that the gate has brought because of the verdict `inspect`. */
export interface Inspected {
  readonly sandbox: string
  readonly name: string | null
  readonly address: string | null
  readonly port: number
  /** Requests of several servers may come, each with its own. */
  readonly isProxied: boolean
  /** One request more is under way, until what comes back is called. A sentence without its dot: why there may be none. */
  begin(): (() => void) | string
  /** One request, by the rules of this moment; it is in the log when this resolves. */
  judge(wanted: Wanted): Promise<Judged>
  /** Something about it that no rule speaks of cannot be let through; it is in the log on return. `wanted` null: there is no request. */
  refuse(wanted: Wanted | null, rule: string, reason: string): Refusal
  /** Ends it with a reset. */
  reset(): void
}
