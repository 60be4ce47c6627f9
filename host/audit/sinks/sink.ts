import type { z } from 'zod'

/** One record of the log as it was written, with the fields that receivers sort by. */
export interface Sent {
  /** The record's number. */
  readonly seq: number
  /** The record's line, without the newline. */
  readonly line: string
}

/** A destination for records. */
export interface Sink {
  /** For people; contains no secret. */
  readonly place: string
  /** Rejects with the reason if the destination is unreachable. */
  reach(signal: AbortSignal): Promise<void>
  /** Sends the records in order. Resolves when the receiver has them, as far as it acknowledges. On rejection it may have some of them. */
  send(records: readonly Sent[], signal: AbortSignal): Promise<void>
  /** Releases its resources. */
  close?(): void
}

/** What sinks are given when opened. */
export interface SinkHouse {
  /** The value of a stored secret; undefined: no such secret. */
  secret(name: string): Promise<string | undefined>
  /** Path of the library built from native/recorder. */
  readonly recorder: string
}

export interface SinkKind<Options> {
  readonly options: z.ZodType<Options>
  open(options: Options, house: SinkHouse): Sink
}
