import type { Readable, Writable } from 'node:stream'

/** Name and value as they came, in their order. */
export type Field = readonly [name: string, value: string]

/** One request, whatever version of HTTP it came in; what is between two neighbours only (RFC 9110, 7.6.1) is not in `fields`. */
export interface Question {
  readonly version: 1 | 2
  readonly method: string
  readonly scheme: 'http' | 'https'
  /** As it is said: Host, :authority, or that of an absolute URL. Null: nowhere, which only HTTP/1.0 may. */
  readonly authority: string | null
  /** With its query; `*`. */
  readonly path: string
  /** Without Host. */
  readonly fields: readonly Field[]
  /** Null: none. */
  readonly body: Readable | null
  /** Whether its body is over, and was not cut off. */
  isWhole(): boolean
  /** Known when the body is over. */
  trailers(): readonly Field[]
}

/** Of a server, before its body. */
export interface Answer {
  readonly status: number
  readonly fields: readonly Field[]
  readonly body: Readable
  /** Whether its body is over, and was not cut off. */
  isWhole(): boolean
  /** Known when the body is over. */
  trailers(): readonly Field[]
}

/** Where the answer to a question goes. */
export interface Reply {
  /** Whether the head has been said: then nothing else can be. */
  readonly isBegun: boolean
  /** A status of 1xx. */
  inform(status: number, fields: readonly Field[]): void
  /** The head; what comes back takes the body, and is ended by `finish`. */
  begin(status: number, fields: readonly Field[]): Writable
  finish(trailers: readonly Field[]): void
  /** From now on its connection carries something else. */
  letGo(): void
  /** It ends in the middle, so that nobody takes a part for the whole. */
  breakOff(): void
  /** Nobody waits for it any more. */
  onGone(then: () => void): void
}

export interface Asking {
  readonly question: Question
  /** Of the name, the port and the scheme that were judged, and no others. */
  readonly authority: string
  inform(status: number, fields: readonly Field[]): void
  /** Nobody waits for the answer any more. */
  readonly signal: AbortSignal
}
