import { Fault } from '@caisson/wire'
import { faultLine } from './ending.ts'

/** The exit code that a shell reports for a program killed by SIGPIPE. */
const SIGPIPE_EXIT = 141
const CANNOT_EXIT = 125

let end: (exitCode: number) => void = (exitCode) => process.exit(exitCode)
let failure: number | undefined

/** Watches this process's output from now on: the reader may go (`| head -1`) or the disk may be full. Otherwise Node would exit with a stack trace. */
export function watchOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', failed)
}

/** Calls `then` instead of exiting at once, for a caller that must clean up first. */
export function whenOutputFails(then: (exitCode: number) => void): void {
  end = then
}

/**
 * Resolves when all output has been consumed, or has failed and been reported. A failure is reported only after the write, when the writer may have finished;
 * the result is then the exit code to use.
 */
export async function settledOutput(): Promise<number | undefined> {
  for (const stream of [process.stdout, process.stderr]) {
    if (!stream.destroyed) await new Promise<void>((resolve) => stream.write('', () => resolve()))
  }
  await new Promise((resolve) => setImmediate(resolve))
  return failure
}

/** A reader that has gone needs no message. Only the first failure counts: every later write fails as well. */
function failed({ code = 'unknown', cause }: NodeJS.ErrnoException): void {
  if (failure !== undefined) return
  failure = code === 'EPIPE' ? SIGPIPE_EXIT : CANNOT_EXIT
  if (code !== 'EPIPE' && !process.stderr.destroyed) {
    const hint = 'Make room, or let it print elsewhere.'
    const fault = new Fault('FILE_DENIED', `what was to be printed could not be written (${code})`, { hint, cause })
    process.stderr.write(`${faultLine(fault)}\n`)
  }
  end(failure)
}
