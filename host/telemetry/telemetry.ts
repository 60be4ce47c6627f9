import type { IncomingHttpHeaders } from 'node:http'
import type { Log } from './log.ts'
import type { Meters } from './meters.ts'

export type Attributes = Readonly<Record<string, string | number | boolean>>

/** A stretch of work that a trace shows. */
export interface Span {
  set(name: string, value: string | number | boolean): void
}

export interface Traces {
  /** Runs `work`; what it begins meanwhile belongs to the same trace. When nobody collects traces it costs a call. */
  span<T>(name: string, attributes: Attributes, work: (span: Span) => Promise<T>): Promise<T>
  /** The same for a request, which may belong to a trace of its caller's. */
  received<T>(name: string, attributes: Attributes, headers: IncomingHttpHeaders, work: (span: Span) => Promise<T>): Promise<T>
}

/** What operators see of a daemon. Nothing here carries code, output, tokens, keys, or contents of files. */
export interface Telemetry extends Traces {
  readonly log: Log
  readonly meters: Meters
}

const nothing: Span = { set: () => undefined }

/** Nobody collects them. */
export const noTraces: Traces = {
  span: (_name, _attributes, work) => work(nothing),
  received: (_name, _attributes, _headers, work) => work(nothing),
}
