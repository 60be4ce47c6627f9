import type { Process } from '@caisson/wire'
import { killNow } from '../lifetimes.ts'

const TIMEOUT_EXIT_CODE = 124

/** Kills the process at its time limit; the sandbox lives on. */
export function withTimeout(process: Process, timeoutMs: number): Process {
  let late = false
  const timer = setTimeout(() => {
    late = true
    killNow(process)
  }, timeoutMs)
  const exit = process.exit.then((exit) =>
    late ? { ...exit, exitCode: TIMEOUT_EXIT_CODE, limit: exit.limit ?? ('timeout' as const) } : exit,
  )
  const stop = () => clearTimeout(timer)
  exit.then(stop, stop)
  return {
    pid: process.pid,
    output: process.output,
    exit,
    write: (bytes, signal) => process.write(bytes, signal),
    closeStdin: (signal) => process.closeStdin(signal),
    signal: (number, signal) => process.signal(number, signal),
    resize: (size, signal) => process.resize(size, signal),
  }
}
