import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { refuseAborted } from '../lifetimes.ts'
import { segments } from './segments.ts'
import { openIfThere } from './tail.ts'

const CHUNK_BYTES = 256 * 1024
const LOOK_MS = 250
const NEWLINE = 0x0a
const SEQ = /^\{"seq":(\d{1,15}),/

export interface Reading {
  /** Also lines appended from now on, until the signal aborts. */
  readonly follow: boolean
  /** Files that end at or before this record are skipped; undefined: none. */
  readonly after?: number | undefined
}

/** Whole lines of a log from its beginning, in batches, including rotated files. */
export async function* linesFromStart(path: string, { follow, after = -1 }: Reading, signal: AbortSignal): AsyncGenerator<string[]> {
  /** Number of the last record read. Files are not remembered by inode number, since that of a removed file may be reused. */
  let done = after
  let last: number | undefined
  for (;;) {
    const next = segments(dirname(path)).find(({ inode, lastSeq }) => inode !== last && (lastSeq === null || lastSeq > done))
    if (next === undefined) return
    const file = await openIfThere(next.path)
    if (file === undefined) continue
    try {
      // Rotated since it was listed; the file that now has its name comes later.
      if ((await file.stat()).ino !== next.inode) continue
      last = next.inode
      for await (const lines of linesOfFile(file, () => follow && !isPutAside(path, next.inode), signal)) {
        done = seqOf(lines.at(-1)) ?? done
        yield lines
      }
    } finally {
      await file.close()
    }
  }
}

function seqOf(line: string | undefined): number | undefined {
  const [, digits] = SEQ.exec(line ?? '') ?? []
  return digits === undefined ? undefined : Number(digits)
}

function isPutAside(path: string, inode: number): boolean {
  return segments(dirname(path)).at(-1)?.inode !== inode
}

async function* linesOfFile(file: FileHandle, grows: () => boolean, signal: AbortSignal): AsyncGenerator<string[]> {
  let from = 0
  let begun = Buffer.alloc(0)
  for (;;) {
    refuseAborted(signal)
    // Asked before reading, so that everything written until then is read.
    const mayGrow = grows()
    const chunk = Buffer.alloc(CHUNK_BYTES)
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, from)
    if (bytesRead === 0) {
      if (!mayGrow) return
      await pause(LOOK_MS, undefined, { signal })
      continue
    }
    from += bytesRead
    const text = Buffer.concat([begun, chunk.subarray(0, bytesRead)])
    const end = text.lastIndexOf(NEWLINE)
    begun = text.subarray(end + 1)
    if (end >= 0) yield text.subarray(0, end).toString().split('\n')
  }
}
