import { open } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { refuseAborted } from '../lifetimes.ts'

const CHUNK_BYTES = 256 * 1024
const LOOK_MS = 250
const NEWLINE = 0x0a

/** Whole lines of a log from its beginning, several at a time; with `follow` also those that are appended from now on, until the signal aborts. */
export async function* linesFromStart(path: string, follow: boolean, signal: AbortSignal): AsyncGenerator<string[]> {
  const file = await open(path)
  try {
    let from = 0
    let begun = Buffer.alloc(0)
    for (;;) {
      refuseAborted(signal)
      const chunk = Buffer.alloc(CHUNK_BYTES)
      const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, from)
      if (bytesRead === 0) {
        if (!follow) return
        await pause(LOOK_MS, undefined, { signal })
        continue
      }
      from += bytesRead
      const text = Buffer.concat([begun, chunk.subarray(0, bytesRead)])
      const end = text.lastIndexOf(NEWLINE)
      begun = text.subarray(end + 1)
      if (end >= 0) yield text.subarray(0, end).toString().split('\n')
    }
  } finally {
    await file.close()
  }
}
