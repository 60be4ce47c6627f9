import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { basename, join } from 'node:path'
import { refuseAborted } from '../../lifetimes.ts'
import { castsIn, TERMINALS } from './casts.ts'

/** What a record says about a recording. */
export interface Vouched {
  readonly terminal: string
  readonly sha256: string
}

/** The first recording that differs from its record, and why; undefined: none. `folder`: the log's. */
export async function flawedTerminal(
  folder: string,
  all: readonly Vouched[],
  signal: AbortSignal,
): Promise<{ file: string; what: string } | undefined> {
  const kept = castsIn(join(folder, TERMINALS))
  for (const { terminal, sha256 } of all) {
    refuseAborted(signal)
    const cast = kept.find((one) => one.terminal === terminal)
    if (cast === undefined) return { file: join(TERMINALS, `${terminal}.cast`), what: 'the recording of a terminal is missing' }
    if ((await digestOf(cast.path)) !== sha256) {
      return { file: join(TERMINALS, basename(cast.path)), what: 'the recording of a terminal was changed after it had been written' }
    }
  }
  return undefined
}

export async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
