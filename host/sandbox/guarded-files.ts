import type { FileChange, FileEntry, Files } from '@caisson/wire'

interface Guard {
  guard<T>(call: () => Promise<T>): Promise<T>
}

/** Files of a sandbox that may end at any time: what fails because of that says so. */
export class GuardedFiles implements Files {
  readonly #files: Files
  readonly #guard: Guard

  constructor(files: Files, guard: Guard) {
    this.#files = files
    this.#guard = guard
  }

  read: Files['read'] = (path, options, signal) => this.#each(() => this.#files.read(path, options, signal))
  watch: Files['watch'] = (path, options, signal) => this.#each<FileChange>(() => this.#files.watch(path, options, signal))
  write: Files['write'] = (...request) => this.#guard.guard<FileEntry>(() => this.#files.write(...request))
  stat: Files['stat'] = (...request) => this.#guard.guard(() => this.#files.stat(...request))
  list: Files['list'] = (...request) => this.#guard.guard(() => this.#files.list(...request))
  makeDir: Files['makeDir'] = (...request) => this.#guard.guard(() => this.#files.makeDir(...request))
  move: Files['move'] = (...request) => this.#guard.guard(() => this.#files.move(...request))
  remove: Files['remove'] = (...request) => this.#guard.guard(() => this.#files.remove(...request))
  setAttributes: Files['setAttributes'] = (...request) => this.#guard.guard(() => this.#files.setAttributes(...request))

  async *#each<T>(open: () => AsyncIterable<T>): AsyncGenerator<T> {
    const iterator = await this.#guard.guard(async () => open()[Symbol.asyncIterator]())
    try {
      for (;;) {
        const next = await this.#guard.guard(() => iterator.next())
        if (next.done === true) return
        yield next.value
      }
    } finally {
      await iterator.return?.()
    }
  }
}
