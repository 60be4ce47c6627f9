import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export const HEAD_FILE = 'audit.head'
const HEAD = /^1 (\d{1,16}) ([0-9a-f]{64}) \d+ \d+ \d+ *\n$/

/** The end of the chain as writers record it. `next`: the number of the next record; `hash`: of the last one. */
export interface Head {
  readonly next: number
  readonly hash: string
}

/** Undefined: the file is damaged. Throws the errors of reading a file. */
export function readHead(folder: string): Head | undefined {
  const [, next, hash] = HEAD.exec(readFileSync(join(folder, HEAD_FILE), 'utf8')) ?? []
  return next === undefined || hash === undefined ? undefined : { next: Number(next), hash }
}

/** Number of a log's last record; -1: none, or its head is unreadable (the next writer repairs that). */
export function lastSeq(folder: string): number {
  try {
    return (readHead(folder)?.next ?? 0) - 1
  } catch (failure) {
    if ((failure as NodeJS.ErrnoException).code === 'ENOENT') return -1
    throw failure
  }
}
