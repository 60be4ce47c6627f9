import type { z } from 'zod'

/** One record of the log, as it was written, and what a receiver sorts by. */
export interface Sent {
  /** Its number. */
  readonly seq: number
  /** Its line, without the newline. */
  readonly line: string
}

/** A place that records go to. */
export interface Sink {
  /** For people; no secret is in it. */
  readonly place: string
  /** Rejects, saying why, where nobody is there to take anything. */
  reach(signal: AbortSignal): Promise<void>
  /** In order. Resolves when the other side has them, as far as it says so; rejects otherwise, and then it may have some of them. */
  send(records: readonly Sent[], signal: AbortSignal): Promise<void>
  /** Lets go of what it holds. */
  close?(): void
}

/** What sinks are opened with. */
export interface SinkHouse {
  /** The value of a stored secret; undefined: there is none of that name. */
  secret(name: string): Promise<string | undefined>
  /** The library of native/recorder. */
  readonly recorder: string
}

export interface SinkKind<Options> {
  readonly options: z.ZodType<Options>
  open(options: Options, house: SinkHouse): Sink
}
