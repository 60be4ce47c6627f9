import type { Readable, Writable } from 'node:stream'
import { isGround, type Passed, type Watch, Withheld } from './passage.ts'

/**
 * Pipes `source` into `sink` with backpressure, through a watch that may change the data. `keeping` gets the data as received. Resolves to the number of bytes
 * received. Ends neither stream. Rejects with Withheld, or when either stream is gone; `source` stays usable, so that its sender can still be answered.
 */
export async function carry(
  source: Readable,
  watch: Watch | null,
  sink: Writable,
  keeping?: { take(bytes: Buffer): void },
): Promise<number> {
  let length = 0
  try {
    for await (const bytes of source.iterator({ destroyOnReturn: false })) {
      length += bytes.length
      keeping?.take(bytes)
      await give(watch === null ? bytes : await watch.chunk(bytes), sink)
    }
    if (watch !== null) await give(await watch.end(), sink)
    return length
  } finally {
    watch?.close?.()
  }
}

async function give(passed: Passed, sink: Writable): Promise<void> {
  if (isGround(passed)) throw new Withheld(passed)
  if (passed.length === 0) return
  if (sink.destroyed) throw new Error('nobody takes it any more')
  if (!sink.write(passed)) await drained(sink)
}

function drained(sink: Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    const events = ['drain', 'close', 'error'] as const
    const over = () => {
      for (const event of events) sink.off(event, over)
      if (sink.destroyed) reject(new Error('nobody takes it any more'))
      else resolve()
    }
    for (const event of events) sink.on(event, over)
  })
}
