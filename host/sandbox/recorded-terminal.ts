import type { Output, Process } from '@caisson/wire'
import type { Session } from '../audit/log.ts'
import { killNow } from '../lifetimes.ts'

/** A process on a terminal, with what it shows recorded before anybody sees it. What cannot be recorded is not shown, and ends. */
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
  // A record that cannot be written is told by the next one that must be; the file stays, and whoever comes next seals it.
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
