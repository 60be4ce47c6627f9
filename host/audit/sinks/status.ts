import { join } from 'node:path'
import { Fault } from '@caisson/wire'
import { lastSeq } from '../head.ts'
import { readSinks, type SetUp } from './config.ts'
import { type Cursor, readCursor } from './cursor.ts'

/** File in the state folder where the operator configures sinks. */
export const SINKS_FILE = 'sinks.json'

/** A sink's status as the state folder records it, whether or not a daemon runs. */
export interface SinkStatus {
  readonly name: string
  readonly kind: string
  readonly required: boolean
  /** Number of the last delivered record; null: none. */
  readonly seq: number | null
  /** Number of undelivered records. */
  readonly lag: number
  /** Time of the last delivery; null: never. */
  readonly takenMs: number | null
  readonly failing: { readonly sinceMs: number; readonly tries: number; readonly reason: string } | null
}

/** Throws SINK_INVALID. */
export function sinkStatuses(home: string, folder: string): SinkStatus[] {
  const last = lastSeq(folder)
  return readSinks(join(home, SINKS_FILE)).map(({ name, kind, required }) => {
    const { seq, atMs, failing } = readCursor(folder, name)
    const lag = Math.max(0, last - seq)
    return { name, kind, required, seq: seq < 0 ? null : seq, lag, takenMs: atMs === 0 ? null : atMs, failing }
  })
}

/** For a host that does not deliver to sinks itself. Throws AUDIT_BEHIND while a required sink is further behind than allowed. */
export function refuseBehind(home: string, folder: string): void {
  const required = readSinks(join(home, SINKS_FILE)).filter((one) => one.required)
  if (required.length === 0) return
  const last = lastSeq(folder)
  for (const setUp of required) {
    const cursor = readCursor(folder, setUp.name)
    const { failing } = cursor
    refuseLag(setUp, { cursor, missing: last - cursor.seq, waitedMs: failing === null ? 0 : Date.now() - failing.sinceMs })
  }
}

/** Throws AUDIT_BEHIND if that exceeds the configured lag. */
export function refuseLag(
  { name, kind, lag }: SetUp,
  { cursor, missing, waitedMs }: { cursor: Cursor; missing: number; waitedMs: number },
): void {
  if (missing <= lag.records && waitedMs <= lag.seconds * 1000) return
  const { failing } = cursor
  const why = failing === null ? '' : `; the last try: ${failing.reason}`
  const seconds = Math.round(waitedMs / 1000)
  throw new Fault(
    'AUDIT_BEHIND',
    `the sink ${name} (${kind}) lacks ${missing} records (it may lack ${lag.records}), and has waited for ${seconds} s (it may wait for ${lag.seconds} s)${why}`,
  )
}
