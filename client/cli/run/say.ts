import { whenOutputFails } from '../output.ts'
import type { Interrupts } from './interrupts.ts'

/** Where a run's output goes while it runs; with `--json`, nothing is printed until the end. */
export interface Say {
  out(text: string): void
  err(text: string): void
  /** Output of a command; resolves when the reader can take more. */
  bytes(channel: 'stdout' | 'stderr' | 'pty', bytes: Uint8Array): Promise<void>
}

export function aloud(interrupts: Interrupts): Say {
  // `caisson run ... | head`: the reader has gone, so the sandbox has no purpose any more.
  whenOutputFails((exitCode) => interrupts.abandon(exitCode))
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    async bytes(channel, bytes) {
      const stream = channel === 'stderr' ? process.stderr : process.stdout
      if (stream.write(bytes) || stream.destroyed) return
      await new Promise<void>((resolve) => {
        const done = () => {
          stream.off('drain', done).off('close', done).off('error', done)
          resolve()
        }
        stream.on('drain', done).on('close', done).on('error', done)
      })
    },
  }
}

export function quiet(): Say {
  return { out: () => undefined, err: () => undefined, bytes: async () => undefined }
}
