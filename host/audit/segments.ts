import { rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { namesIn } from './folder.ts'

export const CURRENT = 'audit.jsonl'
const FULL = /^audit-(\d{12,16})\.jsonl$/

/** One file of the log. */
export interface Segment {
  readonly name: string
  readonly path: string
  readonly inode: number
  readonly bytes: number
  readonly changedMs: number
  /** Number of its last record; null: it still grows. */
  readonly lastSeq: number | null
}

/** The files of a log, oldest first; none if the folder does not exist. A file being rotated briefly has two names but is listed once. */
export function segments(folder: string): Segment[] {
  const seen = new Set<number>()
  const found: Segment[] = []
  // In order of rotation with the growing file last, so that one rotated meanwhile is not missed.
  for (const name of [
    ...namesIn(folder)
      .filter((name) => FULL.test(name))
      .sort(byNumber),
    CURRENT,
  ]) {
    const path = join(folder, name)
    const status = statSync(path, { throwIfNoEntry: false })
    if (status === undefined || seen.has(status.ino)) continue
    seen.add(status.ino)
    found.push({ name, path, inode: status.ino, bytes: status.size, changedMs: status.mtimeMs, lastSeq: number(name) })
  }
  return found
}

/** The oldest files beyond retention; never the growing one. */
export function outlived(all: readonly Segment[], keep: { bytes: number; ms: number }, nowMs: number): Segment[] {
  let bytes = all.reduce((sum, one) => sum + one.bytes, 0)
  const gone: Segment[] = []
  for (const one of all) {
    const isOver = (keep.bytes > 0 && bytes > keep.bytes) || (keep.ms > 0 && nowMs - one.changedMs > keep.ms)
    if (one.lastSeq === null || !isOver) break
    gone.push(one)
    bytes -= one.bytes
  }
  return gone
}

export function remove({ path }: Segment): void {
  rmSync(path, { force: true })
}

function number(name: string): number | null {
  const [, digits] = FULL.exec(name) ?? []
  return digits === undefined ? null : Number(digits)
}

function byNumber(one: string, other: string): number {
  return (number(one) ?? 0) - (number(other) ?? 0)
}
