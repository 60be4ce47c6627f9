import { Fault } from '@caisson/wire'
import { faultLine } from './ending.ts'

/** What a shell says of a program that wrote to a pipe without readers. */
const SIGPIPE_EXIT = 141
const CANNOT_EXIT = 125

let end: (exitCode: number) => void = (exitCode) => process.exit(exitCode)
let isOver = false

/** What this process writes is watched from now on: whoever reads may go (`| head -1`), and a disk may be full. Without this, Node ends with a trace of its own. */
export function watchOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', (failure: NodeJS.ErrnoException) => failed(failure))
}

/** Instead of the end at once, for whoever has something to let go of first. */
export function whenOutputFails(then: (exitCode: number) => void): void {
  end = then
}

/** What was written has been taken, or has failed and been told, when this resolves: a failure is told a moment after the write. */
export async function settledOutput(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    if (!stream.destroyed) await new Promise<void>((resolve) => stream.write('', () => resolve()))
  }
  await new Promise((resolve) => setImmediate(resolve))
}

/** Who has gone wants no words. The first failure counts: each further write fails as well. */
function failed({ code = 'unknown', cause }: NodeJS.ErrnoException): void {
  if (isOver) return
  isOver = true
  if (code === 'EPIPE') return end(SIGPIPE_EXIT)
  const fault = new Fault('FILE_DENIED', `what was to be printed could not be written (${code})`, {
    hint: 'Make room, or let it print elsewhere.',
    cause,
  })
  if (!process.stderr.destroyed) process.stderr.write(`${faultLine(fault)}\n`)
  end(CANNOT_EXIT)
}
