import type { Log } from './log.ts'
import type { Meters } from './meters.ts'

export type Attributes = Readonly<Record<string, string | number | boolean>>

/** A stretch of work that a trace shows. */
export interface Span {
  set(name: string, value: string | number | boolean): void
}

export interface Traces {
  /** Runs `work`; what it starts meanwhile belongs to the same trace. When nobody collects traces it costs a call. */
  span<T>(name: string, attributes: Attributes, work: (span: Span) => Promise<T>): Promise<T>
}

/** What operators see of a daemon. Nothing here carries code, output, tokens, keys, or contents of files. */
export interface Telemetry extends Traces {
  readonly log: Log
  readonly meters: Meters
}

const nothing: Span = { set: () => undefined }

export const noTraces: Traces = { span: (_name, _attributes, work) => work(nothing) }
