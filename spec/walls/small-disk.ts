import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** A file system of its own, so small that it can be filled: mounted over a folder, which needs root. */
export class SmallDisk implements Disposable {
  readonly path: string
  readonly #filler: string

  constructor(path: string, kib: number) {
    this.path = path
    this.#filler = join(path, 'filler')
    mkdirSync(path, { recursive: true })
    execFileSync('/usr/bin/mount', ['-t', 'tmpfs', '-o', `size=${kib}k,mode=700`, 'small', path])
  }

  /** Until not one more byte finds room. */
  fill(): void {
    const fd = openSync(this.#filler, 'a')
    try {
      for (let bytes = 4096; bytes >= 1; ) {
        try {
          writeSync(fd, Buffer.alloc(bytes))
        } catch {
          bytes = Math.floor(bytes / 2)
        }
      }
    } finally {
      closeSync(fd)
    }
  }

  free(): void {
    rmSync(this.#filler)
  }

  [Symbol.dispose](): void {
    // Whoever is ending at the moment may hold a file of it.
    execFileSync('/usr/bin/umount', ['--lazy', this.path])
  }
}
