import { z } from 'zod'
import type { Sent, Sink, SinkKind } from './sink.ts'

const Options = z.strictObject({})

/** The daemon's standard output, for log collectors. */
export const stdout: SinkKind<z.infer<typeof Options>> = {
  options: Options,
  open: () => new StandardOutput(),
}

class StandardOutput implements Sink {
  readonly place = 'standard output'

  async reach(): Promise<void> {
    if (process.stdout.destroyed) throw new Error('it is closed')
  }

  send(records: readonly Sent[]): Promise<void> {
    return new Promise((resolve, reject) => {
      process.stdout.write(records.map(({ line }) => `${line}\n`).join(''), (failure) => {
        if (failure) reject(failure)
        else resolve()
      })
    })
  }
}
