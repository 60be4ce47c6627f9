import type { Readable, Writable } from 'node:stream'

/** Name and value as received, in order. */
export type Field = readonly [name: string, value: string]

/** A request, independent of its HTTP version. Hop-by-hop fields (RFC 9110, 7.6.1) are not in `fields`. */
export interface Question {
  readonly version: 1 | 2
  readonly method: string
  readonly scheme: 'http' | 'https'
  /** As the client gave it: from Host, :authority or an absolute URL. Null: absent, which only HTTP/1.0 permits. */
  readonly authority: string | null
  /** With its query; or `*`. */
  readonly path: string
  /** Without Host. */
  readonly fields: readonly Field[]
  /** Null: none. */
  readonly body: Readable | null
  /** Whether the body has ended and was not cut off. */
  isWhole(): boolean
  /** Available once the body has ended. */
  trailers(): readonly Field[]
}

/** A server's response before its body. */
export interface Answer {
  readonly status: number
  readonly fields: readonly Field[]
  readonly body: Readable
  /** Whether the body has ended and was not cut off. */
  isWhole(): boolean
  /** Available once the body has ended. */
  trailers(): readonly Field[]
}

/** The destination of a response. */
export interface Reply {
  /** Whether the head has been sent, after which no other response is possible. */
  readonly isBegun: boolean
  /** Sends a 1xx response. */
  inform(status: number, fields: readonly Field[]): void
  /** Sends the head. The returned stream takes the body; end it with `finish`. */
  begin(status: number, fields: readonly Field[]): Writable
  finish(trailers: readonly Field[]): void
  /** The connection carries another protocol from now on. */
  letGo(): void
  /** Breaks off, so that nobody takes a part for the whole. */
  breakOff(): void
  /** Called when the client no longer waits for it. */
  onGone(then: () => void): void
}

export interface Asking {
  readonly question: Question
  /** Exactly the name, port and scheme that were judged. */
  readonly authority: string
  inform(status: number, fields: readonly Field[]): void
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal
}
