import type { HttpRequest } from '@caisson/policy'
import type { Through } from '../egress.ts'
import type { Refusal } from '../refusal-page.ts'
import type { Keep } from './from-kept.ts'
import type { Passage } from './passage.ts'

/** A request in the form in which it is judged. */
export interface Wanted extends HttpRequest {
  readonly method: string
  /** Its target; absent: that of the connection. Only a request to the HTTP proxy may name one. */
  readonly target?: { readonly name: string | null; readonly address: string | null; readonly port: number }
}

export type Judged =
  | {
      readonly allowed: true
      readonly name: string | null
      readonly port: number
      /** Checked for this request. */
      readonly dial: readonly string[]
      /** The proxy to ask for them; null: they are dialled directly. */
      readonly through: Through | null
      readonly passage: Passage | null
      /** How its answers may be cached; null: not at all. */
      readonly keep: Keep | null
    }
  | { readonly allowed: false; readonly refusal: Refusal }

/** A connection brought by the gate because of the verdict `inspect`. */
export interface Inspected {
  readonly sandbox: string
  readonly name: string | null
  readonly address: string | null
  readonly port: number
  /** Requests may go to different servers, each naming its own. */
  readonly isProxied: boolean
  /** Counts a running request until the returned function is called. A string (a sentence without its full stop): why it is refused. */
  begin(): (() => void) | string
  /** Judges a request by the current rules; the verdict is in the log when this resolves. */
  judge(wanted: Wanted): Promise<Judged>
  /** Refuses it for a reason outside the rules; the refusal is in the log on return. `wanted` null: there is no request. */
  refuse(wanted: Wanted | null, rule: string, reason: string): Refusal
  /** Ends the connection with a reset. */
  reset(): void
}
