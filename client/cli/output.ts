import { Fault } from '@caisson/wire'
import { faultLine } from './ending.ts'

/** What a shell says of a program that wrote to a pipe without readers. */
const SIGPIPE_EXIT = 141
const CANNOT_EXIT = 125

let end: (exitCode: number) => void = (exitCode) => process.exit(exitCode)
let failure: number | undefined

/** What this process writes is watched from now on: whoever reads may go (`| head -1`), and a disk may be full. Without this, Node ends with a trace of its own. */
export function watchOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', failed)
}

/** Instead of the end at once, for whoever has something to let go of first. */
export function whenOutputFails(then: (exitCode: number) => void): void {
  end = then
}

/**
 * What was written has been taken, or has failed and been told, when this resolves: a failure is told a moment after the write, when what wrote may have
 * come to its end. Then it is the exit code to end with.
 */
export async function settledOutput(): Promise<number | undefined> {
  for (const stream of [process.stdout, process.stderr]) {
    if (!stream.destroyed) await new Promise<void>((resolve) => stream.write('', () => resolve()))
  }
  await new Promise((resolve) => setImmediate(resolve))
  return failure
}

/** Who has gone wants no words. The first failure counts: each further write fails as well. */
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
