import { hostname } from 'node:os'
import { parsedLine } from '../lines.ts'
import type { Sent } from './sink.ts'

/** "log audit" (RFC 5424, 6.2.1). */
const FACILITY = 13
const NOTICE = 5
const ALERT = 1
/** Private Enterprise Number for documentation (RFC 5612); Caisson has none of its own. */
const ENTERPRISE = 32473

/** An RFC 5424 message around a line. A message beyond `maxBytes` is truncated and marked; the log has the whole record under that number. */
export function message({ seq, line }: Sent, maxBytes = Number.POSITIVE_INFINITY): Buffer {
  const { ts, kind } = parsedLine(line) ?? {}
  const priority = FACILITY * 8 + (kind === 'broken' ? ALERT : NOTICE)
  const head = `<${priority}>1 ${word(ts, 40)} ${word(hostname(), 255)} caisson ${process.pid} ${word(kind, 32)}`
  const data = (cut: string) => `[caisson@${ENTERPRISE} seq="${seq}"${cut}]`
  const whole = Buffer.from(`${head} ${data('')} ${line}`)
  if (whole.length <= maxBytes) return whole
  const short = Buffer.from(`${head} ${data(` cutFrom="${Buffer.byteLength(line)}"`)} `)
  // Half a character at the end becomes a replacement character of three bytes.
  const kept = Buffer.from(line).subarray(0, maxBytes - short.length - 3)
  return Buffer.concat([short, Buffer.from(kept.toString())])
}

/** Prefixed with its length (RFC 6587, 3.4.1), because a line may contain anything. */
export function framed(text: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${text.length} `), text])
}

function word(value: unknown, most: number): string {
  const text = typeof value === 'string' ? value.replace(/[^\x21-\x7e]/g, '').slice(0, most) : ''
  return text === '' ? '-' : text
}
