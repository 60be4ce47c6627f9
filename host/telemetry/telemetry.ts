import type { IncomingHttpHeaders } from 'node:http'
import type { Log } from './log.ts'
import type { Meters } from './meters.ts'

export type Attributes = Readonly<Record<string, string | number | boolean>>

/** A unit of work shown in a trace. */
export interface Span {
  set(name: string, value: string | number | boolean): void
}

export interface Traces {
  /** Runs `work` in a span; spans that it starts belong to the same trace. Without a collector it costs one function call. */
  span<T>(name: string, attributes: Attributes, work: (span: Span) => Promise<T>): Promise<T>
  /** The same for a request, which may continue its caller's trace. */
  received<T>(name: string, attributes: Attributes, headers: IncomingHttpHeaders, work: (span: Span) => Promise<T>): Promise<T>
}

/** What operators see of a daemon. It never carries code, output, tokens, keys or file contents. */
export interface Telemetry extends Traces {
  readonly log: Log
  readonly meters: Meters
}

const nothing: Span = { set: () => undefined }

/** For when nobody collects traces. */
export const noTraces: Traces = {
  span: (_name, _attributes, work) => work(nothing),
  received: (_name, _attributes, _headers, work) => work(nothing),
}
