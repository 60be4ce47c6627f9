import type { Output, Process } from '@caisson/wire'
import type { Session } from '../audit/log.ts'
import { killNow } from '../lifetimes.ts'

/** A process on a terminal whose output is recorded before anyone sees it. If recording fails, nothing more is shown and the process is killed. */
export function recordedTerminal(process: Process, { recording, input }: Session): Process {
  const kept = (keep: () => void) => {
    try {
      keep()
    } catch (failure) {
      killNow(process)
      throw failure
    }
  }
  const end = () => recording.end()
  // A failed write is reported by the next record that must be written. The file stays, and the next host seals it.
  process.exit.then(end, end).catch(() => undefined)
  return {
    pid: process.pid,
    output: {
      async *[Symbol.asyncIterator](): AsyncGenerator<Output> {
        for await (const piece of process.output) {
          kept(() => recording.shown(piece.bytes))
          yield piece
        }
      },
    },
    exit: process.exit,
    write: async (bytes, signal) => {
      if (input) kept(() => recording.typed(bytes))
      await process.write(bytes, signal)
    },
    closeStdin: (signal) => process.closeStdin(signal),
    signal: (number, signal) => process.signal(number, signal),
    resize: async (size, signal) => {
      await process.resize(size, signal)
      kept(() => recording.resized(size))
    },
  }
}
