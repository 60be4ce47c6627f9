import { parsedLine } from '../../audit/lines.ts'

/** Severity levels, in ascending order. */
export const LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type Level = (typeof LEVELS)[number]

export interface LogEntry {
  readonly atMs: number
  readonly message: string
  readonly level: Level
  readonly fields: Readonly<Record<string, string>>
}

interface Shown {
  message: string
  level: Level
  fields?: readonly string[]
}

/** For each kind of record, what the sandbox's owner is shown. The rest concerns the machine and is not for the owner. */
const KINDS: Record<string, (record: Record<string, unknown>) => Shown> = {
  create: ({ template, profile }) => ({
    message: `created from ${text(template)} (profile ${text(profile)})`,
    level: 'info',
    fields: ['template', 'profile', 'wall'],
  }),
  command: ({ command, args }) => ({ message: words(command, args), level: 'info', fields: ['user', 'cwd'] }),
  exec: ({ argv }) => ({ message: words(argv), level: 'debug', fields: ['path', 'pid'] }),
  file: ({ act, path, to }) => ({
    message: `file: ${text(act)} ${text(path)}${to === null ? '' : ` to ${text(to)}`}`,
    level: 'debug',
    fields: ['act', 'path', 'to'],
  }),
  act: ({ act, by }) => ({ message: `${text(act)} by ${text(by)}`, level: 'info', fields: ['act', 'by'] }),
  run: ({ language, codeBytes }) => ({
    message: `ran ${text(codeBytes)} bytes of ${text(language)}`,
    level: 'info',
    fields: ['context', 'language', 'code'],
  }),
  network: ({ verdict, name, address, port, reason }) => ({
    message: `network: ${text(verdict)}: ${text(name ?? address)}${typeof port === 'number' ? `:${port}` : ''} (${text(reason)})`,
    level: verdict === 'deny' || verdict === 'refuse' ? 'warn' : 'debug',
    fields: ['verdict', 'name', 'address', 'port', 'way', 'rule', 'reason', 'wouldAllow'],
  }),
  'network-request': ({ verdict, scheme, method, name, address, port, path, reason }) => ({
    message: `network: ${text(verdict)}: ${text(method)} ${text(scheme)}://${text(name ?? address)}:${text(port)}${text(path)} (${text(reason)})`,
    level: verdict === 'deny' ? 'warn' : 'debug',
    fields: ['verdict', 'scheme', 'method', 'name', 'address', 'port', 'path', 'rule', 'reason', 'wouldAllow', 'secrets'],
  }),
  'network-end': ({ connection, bytesOut, bytesIn, why }) => ({
    message: `network: connection ${text(connection)} ended: ${text(why)} (${text(bytesOut)} bytes out, ${text(bytesIn)} in)`,
    level: 'debug',
  }),
  'network-moved': ({ connection, bytesOut, bytesIn }) => ({
    message: `network: connection ${text(connection)} has carried ${text(bytesOut)} bytes out, ${text(bytesIn)} in`,
    level: 'debug',
  }),
  'network-refused': ({ what, count, detail }) => ({
    message: `network: refused ${text(count)} of ${text(what)} (${text(detail)})`,
    level: 'warn',
  }),
  limit: ({ reason, detail }) => ({ message: `limit hit: ${text(reason)} (${text(detail)})`, level: 'warn', fields: ['reason'] }),
  death: ({ reason, detail }) => ({
    message: `ended: ${text(reason)} (${text(detail)})`,
    level: graveness(text(reason)),
    fields: ['reason'],
  }),
}

/** Parses a line of the audit log, if it is about this sandbox. */
export function logEntryOf(line: string, sandbox: string): LogEntry | undefined {
  if (!line.includes(sandbox)) return undefined
  const record = parsedLine(line)
  const show = typeof record?.['kind'] === 'string' && Object.hasOwn(KINDS, record['kind']) ? KINDS[record['kind']] : undefined
  if (record?.['sandbox'] !== sandbox || show === undefined) return undefined
  const atMs = Date.parse(text(record['ts']))
  if (!Number.isFinite(atMs)) return undefined
  const { message, level, fields = [] } = show(record)
  const shown = fields.filter((name) => record[name] !== undefined && record[name] !== null).map((name) => [name, text(record[name])])
  return { atMs, message, level, fields: { kind: text(record['kind']), ...Object.fromEntries(shown) } }
}

/** The timestamp of any log line. Quotes inside texts are escaped, so the pattern matches only the real field. */
export function timeOfLine(line: string): number | undefined {
  const at = Date.parse(/"ts":"([^"]{1,40})"/.exec(line)?.[1] ?? '')
  return Number.isFinite(at) ? at : undefined
}

function graveness(reason: string): Level {
  if (['crash', 'abandoned'].includes(reason)) return 'error'
  return ['memory', 'pids', 'disk', 'output'].includes(reason) ? 'warn' : 'info'
}

function words(...parts: unknown[]): string {
  return parts.flat().map(text).join(' ')
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
}
