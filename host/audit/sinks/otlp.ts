import { z } from 'zod'
import { parsedLine } from '../lines.ts'
import { originOf, post, reachUrl, Url } from './posting.ts'
import type { Sent, Sink, SinkKind } from './sink.ts'

const Options = z.strictObject({ url: Url })

const NS_PER_MS = 1_000_000n
const INFO = 9
const WARN = 13
/** Record kinds that deserve attention. */
const GRAVE: ReadonlySet<unknown> = new Set(['broken', 'torn', 'clock', 'limit'])

/** An OpenTelemetry collector, over HTTP in JSON. The body of a log record is the line; its attributes are the usual search fields. */
export const otlp: SinkKind<z.infer<typeof Options>> = {
  options: Options,
  open: ({ url }) => new Collector(`${url.replace(/\/+$/, '')}/v1/logs`),
}

class Collector implements Sink {
  readonly place: string
  readonly #url: string

  constructor(url: string) {
    this.place = originOf(url)
    this.#url = url
  }

  async reach(signal: AbortSignal): Promise<void> {
    await reachUrl(this.#url, signal)
  }

  async send(records: readonly Sent[], signal: AbortSignal): Promise<void> {
    const scopeLogs = [{ scope: { name: 'caisson.audit' }, logRecords: records.map(logRecord) }]
    const resourceLogs = [{ resource: { attributes: [attribute('service.name', 'caisson')] }, scopeLogs }]
    await post(this.#url, { 'content-type': 'application/json' }, JSON.stringify({ resourceLogs }), signal)
  }
}

function logRecord({ seq, line }: Sent) {
  const { ts, kind, sandbox } = parsedLine(line) ?? {}
  const atMs = Date.parse(String(ts))
  return {
    timeUnixNano: String(BigInt(Number.isNaN(atMs) ? 0 : atMs) * NS_PER_MS),
    severityNumber: GRAVE.has(kind) ? WARN : INFO,
    body: { stringValue: line },
    attributes: [
      attribute('caisson.seq', seq),
      attribute('caisson.kind', String(kind)),
      ...(typeof sandbox === 'string' && sandbox !== '' ? [attribute('caisson.sandbox', sandbox)] : []),
    ],
  }
}

function attribute(key: string, value: string | number) {
  return { key, value: typeof value === 'number' ? { intValue: String(value) } : { stringValue: value } }
}
