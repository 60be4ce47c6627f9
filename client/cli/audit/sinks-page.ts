import type { SinkStatus } from '../../embedded.ts'
import { span, table } from '../daemon/table.ts'

const HEADINGS = ['SINK', 'KIND', 'REQUIRED', 'HAS', 'LACKS', 'LAST TOOK', 'FAILING']

/** Where the records are sent, and how far each sink has got. */
export function sinksPage(all: readonly SinkStatus[], nowMs: number): string {
  if (all.length === 0) return 'The record goes nowhere else: there is no sinks.json in the state folder.\n'
  const rows = all.map(({ name, kind, required, seq, lag, takenMs, failing }) => [
    name,
    kind,
    required ? 'yes' : 'no',
    seq === null ? '-' : String(seq),
    String(lag),
    takenMs === null ? 'never' : `${span(nowMs - takenMs)} ago`,
    failing === null ? 'no' : `for ${span(nowMs - failing.sinceMs)}, ${failing.tries} tries: ${failing.reason}`,
  ])
  return table(HEADINGS, rows)
}
