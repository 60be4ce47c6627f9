import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { refuseAborted } from '../lifetimes.ts'
import { segments } from './segments.ts'
import { openIfThere } from './tail.ts'

const CHUNK_BYTES = 256 * 1024
const LOOK_MS = 250
const NEWLINE = 0x0a

/**
 * Whole lines of a log from its beginning, several at a time, through the files that were put aside; with `follow` also those that are appended from
 * now on, until the signal aborts.
 */
export async function* linesFromStart(path: string, follow: boolean, signal: AbortSignal): AsyncGenerator<string[]> {
  const read = new Set<number>()
  for (;;) {
    const next = segments(dirname(path)).find(({ inode }) => !read.has(inode))
    if (next === undefined) return
    const file = await openIfThere(next.path)
    if (file === undefined) continue
    try {
      // Put aside since it was listed: what has its name now comes later.
      if ((await file.stat()).ino !== next.inode) continue
      read.add(next.inode)
      yield* linesOfFile(file, () => follow && !isPutAside(path, next.inode), signal)
    } finally {
      await file.close()
    }
  }
}

function isPutAside(path: string, inode: number): boolean {
  return segments(dirname(path)).at(-1)?.inode !== inode
}

async function* linesOfFile(file: FileHandle, grows: () => boolean, signal: AbortSignal): AsyncGenerator<string[]> {
  let from = 0
  let begun = Buffer.alloc(0)
  for (;;) {
    refuseAborted(signal)
    // Asked before: what was written until then is read.
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
