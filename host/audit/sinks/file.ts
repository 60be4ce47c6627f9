import { type FileHandle, open } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import { z } from 'zod'
import type { Sent, Sink, SinkKind } from './sink.ts'

const Options = z.strictObject({ path: z.string().refine(isAbsolute, 'is to be an absolute path') })

/** Appends the lines, unchanged, to a file; they count as sent once they are on disk. */
export const file: SinkKind<z.infer<typeof Options>> = {
  options: Options,
  open: ({ path }) => new FileSink(path),
}

class FileSink implements Sink {
  readonly place: string

  constructor(path: string) {
    this.place = path
  }

  async reach(): Promise<void> {
    await using file = await this.#open()
    if (!(await file.stat()).isFile()) throw new Error('it is no file')
  }

  /** Reopened each time, because log rotation may move the file between two writes. */
  async send(records: readonly Sent[]): Promise<void> {
    await using file = await this.#open()
    await file.appendFile(records.map(({ line }) => `${line}\n`).join(''))
    await file.datasync()
  }

  #open(): Promise<FileHandle> {
    return open(this.place, 'a', 0o600)
  }
}
