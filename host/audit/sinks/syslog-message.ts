import { hostname } from 'node:os'
import { parsedLine } from '../lines.ts'
import type { Sent } from './sink.ts'

/** "log audit" (RFC 5424, 6.2.1). */
const FACILITY = 13
const NOTICE = 5
const ALERT = 1
/** Private Enterprise Number for documentation (RFC 5612): there is none of our own. */
const ENTERPRISE = 32473

/** One message of RFC 5424 around a line. Where there are bounds, a longer one is cut and says so: whoever needs it whole asks the log for that number. */
export function message({ seq, line }: Sent, maxBytes = Number.POSITIVE_INFINITY): Buffer {
  const { ts, kind } = parsedLine(line) ?? {}
  const priority = FACILITY * 8 + (kind === 'broken' ? ALERT : NOTICE)
  const head = `<${priority}>1 ${word(ts, 40)} ${word(hostname(), 255)} caisson ${process.pid} ${word(kind, 32)}`
  const data = (cut: string) => `[caisson@${ENTERPRISE} seq="${seq}"${cut}]`
  const whole = Buffer.from(`${head} ${data('')} ${line}`)
  if (whole.length <= maxBytes) return whole
  const short = Buffer.from(`${head} ${data(` cutFrom="${Buffer.byteLength(line)}"`)} `)
  // Half a character at the end becomes a question mark of three bytes.
  const kept = Buffer.from(line).subarray(0, maxBytes - short.length - 3)
  return Buffer.concat([short, Buffer.from(kept.toString())])
}

/** With its length before it (RFC 6587, 3.4.1): a line may have anything in it. */
export function framed(text: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${text.length} `), text])
}

function word(value: unknown, most: number): string {
  const text = typeof value === 'string' ? value.replace(/[^\x21-\x7e]/g, '').slice(0, most) : ''
  return text === '' ? '-' : text
}
