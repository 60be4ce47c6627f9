import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { refuseAborted } from '../lifetimes.ts'
import { segments } from './segments.ts'

const CHUNK_BYTES = 256 * 1024
const NEWLINE = 0x0a

/**
 * Whole lines from the end of a log to its beginning, including rotated files, at most `maxBytes` back. Lines appended meanwhile are not included. A missing
 * log has none.
 */
export async function* linesFromEnd(path: string, maxBytes: number, signal: AbortSignal): AsyncGenerator<string> {
  let left = maxBytes
  for (const segment of segments(dirname(path)).reverse()) {
    if (left <= 0) return
    yield* linesOfFile(segment.path, left, signal)
    left -= segment.bytes
  }
}

async function* linesOfFile(path: string, maxBytes: number, signal: AbortSignal): AsyncGenerator<string> {
  const file = await openIfThere(path)
  if (file === undefined) return
  try {
    const { size } = await file.stat()
    const floor = Math.max(0, size - maxBytes)
    /** The end of a line whose start has not been read yet. Text after the last newline is still being written. */
    let begun: Buffer | undefined
    for (let from = size; from > floor; ) {
      refuseAborted(signal)
      const length = Math.min(CHUNK_BYTES, from - floor)
      from -= length
      const chunk = Buffer.alloc(length)
      await file.read(chunk, 0, length, from)
      const end = chunk.lastIndexOf(NEWLINE)
      if (end < 0) {
        if (begun !== undefined) begun = Buffer.concat([chunk, begun])
        continue
      }
      if (begun !== undefined) yield Buffer.concat([chunk.subarray(end + 1), begun]).toString()
      begun = yield* wholeLines(chunk.subarray(0, end))
    }
    if (begun !== undefined && floor === 0) yield begun.toString()
  } finally {
    await file.close()
  }
}

/** Retention may have removed the file after it was listed. */
export async function openIfThere(path: string): Promise<FileHandle | undefined> {
  return open(path).catch((failure: NodeJS.ErrnoException) => {
    if (failure.code === 'ENOENT') return undefined
    throw failure
  })
}

/** Yields from the last line to the second. Returns the first, which may start in earlier data. */
function* wholeLines(text: Buffer): Generator<string, Buffer> {
  let end = text.length
  for (let newline = text.lastIndexOf(NEWLINE); newline >= 0; newline = newline === 0 ? -1 : text.lastIndexOf(NEWLINE, newline - 1)) {
    yield text.subarray(newline + 1, end).toString()
    end = newline
  }
  return text.subarray(0, end)
}
