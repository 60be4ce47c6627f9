import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { namesIn } from '../folder.ts'

/** How far a sink has come, kept beside the log: whoever goes on after a crash goes on from here. */
const Cursor = z.strictObject({
  /** Number of the last record that it has; -1: none. */
  seq: z.number().int().min(-1),
  /** When it was last given something. */
  atMs: z.number(),
  /** Null: it takes what it is given. */
  failing: z.strictObject({ sinceMs: z.number(), tries: z.number(), reason: z.string() }).nullable(),
})
export type Cursor = z.infer<typeof Cursor>

const SUFFIX = '.cursor'
export const NOTHING_SENT: Cursor = { seq: -1, atMs: 0, failing: null }

/** Of a sink that is new, or whose cursor cannot be read: from the beginning, since twice is better than never. */
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

/** Of sinks that are no more, so that they hold nothing back. */
export function forgetOthers(folder: string, names: readonly string[]): void {
  for (const name of sinksIn(folder)) if (!names.includes(name)) rmSync(pathOf(folder, name), { force: true })
}

/** The number of the last record that every sink has; what comes behind it is not to be removed. Infinity: nobody waits for anything. */
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
