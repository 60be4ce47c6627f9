import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export const HEAD_FILE = 'audit.head'
const HEAD = /^1 (\d{1,16}) ([0-9a-f]{64}) \d+ \d+ \d+ *\n$/

/** Where writers say that the chain ends. `next`: number of the record to come; `hash`: of the last. */
export interface Head {
  readonly next: number
  readonly hash: string
}

/** Undefined: it is damaged. Throws what reading a file throws. */
export function readHead(folder: string): Head | undefined {
  const [, next, hash] = HEAD.exec(readFileSync(join(folder, HEAD_FILE), 'utf8')) ?? []
  return next === undefined || hash === undefined ? undefined : { next: Number(next), hash }
}

/** Number of the last record of a log; -1: there is none, or its head cannot be read, which the next writer puts right. */
export function lastSeq(folder: string): number {
  try {
    return (readHead(folder)?.next ?? 0) - 1
  } catch (failure) {
    if ((failure as NodeJS.ErrnoException).code === 'ENOENT') return -1
    throw failure
  }
}
