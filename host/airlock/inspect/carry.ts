import type { Readable, Writable } from 'node:stream'
import { isGround, type Passed, type Watch, Withheld } from './passage.ts'

/**
 * Resolves to how many bytes came. All of one into the other, as fast as that takes it, and what a watch makes of it. `keeping` gets what came. Neither is ended. Rejects with Withheld, or when one of
 * them is gone; the source is left as it is, so that whoever sends it can still be answered.
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
