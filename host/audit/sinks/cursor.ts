import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { namesIn } from '../folder.ts'

/** A sink's position, kept beside the log so that delivery resumes there after a crash. */
const Cursor = z.strictObject({
  /** Number of the last delivered record; -1: none. */
  seq: z.number().int().min(-1),
  /** Time of the last delivery. */
  atMs: z.number(),
  /** Null: the sink works. */
  failing: z.strictObject({ sinceMs: z.number(), tries: z.number(), reason: z.string() }).nullable(),
})
export type Cursor = z.infer<typeof Cursor>

const SUFFIX = '.cursor'
export const NOTHING_SENT: Cursor = { seq: -1, atMs: 0, failing: null }

/** A new sink, or one with an unreadable cursor, starts from the beginning: duplicates are better than losses. */
export function readCursor(folder: string, name: string): Cursor {
  try {
    return Cursor.parse(JSON.parse(readFileSync(pathOf(folder, name), 'utf8')))
  } catch {
    return NOTHING_SENT
  }
}

export function writeCursor(folder: string, name: string, cursor: Cursor): void {
  const path = pathOf(folder, name)
  mkdirSync(join(folder, 'sinks'), { recursive: true, mode: 0o700 })
  writeFileSync(`${path}.new`, JSON.stringify(cursor), { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

/** Removes the cursors of former sinks, so that these do not hold back retention. */
export function forgetOthers(folder: string, names: readonly string[]): void {
  for (const name of sinksIn(folder)) if (!names.includes(name)) rmSync(pathOf(folder, name), { force: true })
}

/** Number of the last record that every sink has; later records must be kept. Infinity: there are no sinks. */
export function sentToAll(folder: string): number {
  return Math.min(...sinksIn(folder).map((name) => readCursor(folder, name).seq))
}

function pathOf(folder: string, name: string): string {
  return join(folder, 'sinks', `${name}${SUFFIX}`)
}

function sinksIn(folder: string): string[] {
  return namesIn(join(folder, 'sinks'))
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => name.slice(0, -SUFFIX.length))
}
