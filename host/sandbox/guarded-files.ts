import type { FileChange, FileEntry, Files } from '@caisson/wire'
import type { AgentFiles, Watching } from '../agent/files.ts'

interface Guard {
  guard<T>(call: () => Promise<T>): Promise<T>
}

/** Files of a sandbox that may end at any time: what fails because of that says so. */
export class GuardedFiles implements Files {
  readonly #files: AgentFiles
  readonly #guard: Guard

  constructor(files: AgentFiles, guard: Guard) {
    this.#files = files
    this.#guard = guard
  }

  read: Files['read'] = (path, options, signal) => this.#each(async () => this.#files.read(path, options, signal))
  write: AgentFiles['write'] = (...request) => this.#guard.guard<FileEntry>(() => this.#files.write(...request))
  stat: Files['stat'] = (...request) => this.#guard.guard(() => this.#files.stat(...request))
  list: Files['list'] = (...request) => this.#guard.guard(() => this.#files.list(...request))
  makeDir: Files['makeDir'] = (...request) => this.#guard.guard(() => this.#files.makeDir(...request))
  move: Files['move'] = (...request) => this.#guard.guard(() => this.#files.move(...request))
  remove: Files['remove'] = (...request) => this.#guard.guard(() => this.#files.remove(...request))
  setAttributes: Files['setAttributes'] = (...request) => this.#guard.guard(() => this.#files.setAttributes(...request))

  watch: AgentFiles['watch'] = (path, options, signal): Watching => {
    const opened = this.#guard.guard(async () => ({ watching: this.#files.watch(path, options, signal) }))
    const armed = this.#guard.guard(async () => (await opened).watching.armed)
    // Whoever reads the changes hears of it too.
    armed.catch(() => undefined)
    return { armed, [Symbol.asyncIterator]: () => this.#each<FileChange>(async () => (await opened).watching) }
  }

  async *#each<T>(open: () => Promise<AsyncIterable<T>>): AsyncGenerator<T> {
    const iterator = await this.#guard.guard(async () => (await open())[Symbol.asyncIterator]())
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
