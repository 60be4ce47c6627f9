import { randomUUID } from 'node:crypto'
import { closeSync, fstatSync, openSync, readSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '@caisson/wire'

const MAX_WORDS_BYTES = 4096

/** Where a keeper says what it has to complain about: a file without a name, not a pipe, because it may outlive this process, and its last words must not fail. */
export class LastWords {
  readonly descriptor: number
  /** Once it is closed. */
  #text: string | undefined

  /** `folder` is where files without a name may be made. Throws HOME_UNUSABLE. */
  constructor(folder: string) {
    const path = join(folder, `keeper-${randomUUID()}.err`)
    try {
      this.descriptor = openSync(path, 'ax+', 0o600)
      unlinkSync(path)
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      throw new Fault('HOME_UNUSABLE', `no file can be made in ${folder} (${code})`, {
        hint: 'Make room there, or make it yours to write.',
        cause,
      })
    }
  }

  /** The end of what has been said. */
  read(): string {
    if (this.#text !== undefined) return this.#text
    const bytes = Buffer.alloc(MAX_WORDS_BYTES)
    const { size } = fstatSync(this.descriptor)
    const length = readSync(this.descriptor, bytes, 0, bytes.length, Math.max(0, size - bytes.length))
    return bytes.toString('utf8', 0, length).trim()
  }

  /** What is said later is not heard. */
  close(): void {
    if (this.#text !== undefined) return
    this.#text = this.read()
    closeSync(this.descriptor)
  }
}
