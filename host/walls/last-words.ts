import { randomUUID } from 'node:crypto'
import { closeSync, fstatSync, openSync, readSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '@caisson/wire'

const MAX_WORDS_BYTES = 4096

/** Standard error of a keeper: an unnamed file rather than a pipe, because the keeper may outlive this process and its writes must not fail. */
export class LastWords {
  readonly descriptor: number
  /** Set when it is closed. */
  #text: string | undefined

  /** `folder`: where unnamed files may be made. Throws HOME_UNUSABLE. */
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

  /** The last part of what was written. */
  read(): string {
    if (this.#text !== undefined) return this.#text
    const bytes = Buffer.alloc(MAX_WORDS_BYTES)
    const { size } = fstatSync(this.descriptor)
    const length = readSync(this.descriptor, bytes, 0, bytes.length, Math.max(0, size - bytes.length))
    return bytes.toString('utf8', 0, length).trim()
  }

  /** Later output is ignored. */
  close(): void {
    if (this.#text !== undefined) return
    this.#text = this.read()
    closeSync(this.descriptor)
  }
}
