import { z } from 'zod'
import { linesFromEnd } from '../../audit/tail.ts'
import type { SandboxRecord } from '../../sandbox/record.ts'
import { type OwnedCall, type Route, sendJson } from '../call.ts'
import { LEVELS, type LogEntry, logEntryOf, timeOfLine } from './log-entry.ts'
import { rememberedSandbox } from './named.ts'
import { readQuery, WholeNumber } from './query.ts'
import { time } from './shapes.ts'

const MAX_ENTRIES = 1000
/** How far back in the log one request searches. */
const MAX_TAIL_BYTES = 32 * 1024 * 1024
/** Lines of different processes may be slightly out of order. */
const SLACK_MS = 60_000

const limit = WholeNumber.refine((limit) => limit <= MAX_ENTRIES, `must be at most ${MAX_ENTRIES}`).default(MAX_ENTRIES)
const Query = z.strictObject({
  cursor: WholeNumber.optional(),
  limit,
  direction: z.enum(['forward', 'backward']).default('forward'),
  level: z.enum(LEVELS).default('debug'),
  search: z.string().max(256).default(''),
})
type Query = z.infer<typeof Query>

/** The audit log of a sandbox, running, paused or gone. `cursor`: inclusive start, in milliseconds since 1970. */
export const getLogsV2: Route = {
  method: 'GET',
  path: '/v2/sandboxes/:id/logs',
  async handle(call) {
    const query = readQuery(call, Query)
    const entries = await entriesOf(rememberedSandbox(call), query, call)
    sendJson(call.reply, 200, { logs: entries.map(entryBody) })
  },
}

export const getLogs: Route = {
  method: 'GET',
  path: '/sandboxes/:id/logs',
  async handle(call) {
    const { start, limit: most } = readQuery(call, z.strictObject({ start: WholeNumber.optional(), limit }))
    const query: Query = { cursor: start, limit: most, direction: 'forward', level: 'debug', search: '' }
    const entries = await entriesOf(rememberedSandbox(call), query, call)
    const logs = entries.map(({ atMs, message }) => ({ timestamp: time(atMs), line: message }))
    sendJson(call.reply, 200, { logs, logEntries: entries.map(entryBody) })
  },
}

/** Oldest first if the direction is forward, otherwise newest first. */
async function entriesOf({ id, startedMs }: SandboxRecord, query: Query, { rooms, signal }: OwnedCall): Promise<LogEntry[]> {
  const isForward = query.direction === 'forward'
  const fromMs = isForward ? (query.cursor ?? 0) : 0
  const toMs = isForward ? Number.POSITIVE_INFINITY : (query.cursor ?? Number.POSITIVE_INFINITY)
  const levels = LEVELS.slice(LEVELS.indexOf(query.level))
  let found: LogEntry[] = []
  for await (const line of linesFromEnd(rooms.control.auditLog, MAX_TAIL_BYTES, signal)) {
    if ((timeOfLine(line) ?? Number.POSITIVE_INFINITY) < Math.max(fromMs, startedMs) - SLACK_MS) break
    const entry = logEntryOf(line, id)
    if (entry === undefined || entry.atMs < fromMs || entry.atMs > toMs) continue
    if (!levels.includes(entry.level) || !entry.message.includes(query.search)) continue
    found.push(entry)
    // Backwards, the newest entries come first and reading can stop. Forwards, the newest are the surplus.
    if (!isForward && found.length >= query.limit) break
    if (isForward && found.length > 2 * MAX_ENTRIES) found = found.slice(-query.limit)
  }
  return isForward ? found.reverse().slice(0, query.limit) : found.slice(0, query.limit)
}

function entryBody({ atMs, message, level, fields }: LogEntry) {
  return { timestamp: time(atMs), message, level, fields }
}
