import type { FileChange, FileEntry, Files } from '@caisson/wire'
import type { AgentFiles, Watching } from '../agent/files.ts'

export { bytesOfChange } from '../agent/entries.ts'

interface Guard {
  guard<T>(call: () => Promise<T>): Promise<T>
}

/** Records an act that changes files or reads one. Throws if it cannot be recorded; the act must not happen then. */
export type RecordFile = (act: 'read' | 'write' | 'make' | 'move' | 'remove' | 'attributes', path: string, to: string | null) => void

/** Files of a sandbox that may end at any time: a call that fails because of that reports the end. */
export class GuardedFiles implements Files {
  readonly #files: AgentFiles
  readonly #guard: Guard
  readonly #record: RecordFile

  constructor(files: AgentFiles, guard: Guard, record: RecordFile) {
    this.#files = files
    this.#guard = guard
    this.#record = record
  }

  read: AgentFiles['read'] = (path, options, signal) =>
    this.#each(async () => {
      this.#record('read', path, null)
      return this.#files.read(path, options, signal)
    })
  write: AgentFiles['write'] = (...request) => this.#recorded<FileEntry>('write', request[0], null, () => this.#files.write(...request))
  stat: Files['stat'] = (...request) => this.#guard.guard(() => this.#files.stat(...request))
  list: Files['list'] = (...request) => this.#guard.guard(() => this.#files.list(...request))
  makeDir: AgentFiles['makeDir'] = (...request) => this.#recorded('make', request[0], null, () => this.#files.makeDir(...request))
  move: Files['move'] = (...request) => this.#recorded('move', request[0], request[1], () => this.#files.move(...request))
  remove: Files['remove'] = (...request) => this.#recorded('remove', request[0], null, () => this.#files.remove(...request))
  setAttributes: Files['setAttributes'] = (...request) =>
    this.#recorded('attributes', request[0], null, () => this.#files.setAttributes(...request))

  watch: AgentFiles['watch'] = (path, options, signal): Watching => {
    const opened = this.#guard.guard(async () => ({ watching: this.#files.watch(path, options, signal) }))
    const armed = this.#guard.guard(async () => (await opened).watching.armed)
    // The reader of the changes gets this error too.
    armed.catch(() => undefined)
    return { armed, [Symbol.asyncIterator]: () => this.#each<FileChange>(async () => (await opened).watching) }
  }

  #recorded<T>(act: Parameters<RecordFile>[0], path: string, to: string | null, call: () => Promise<T>): Promise<T> {
    return this.#guard.guard(async () => {
      this.#record(act, path, to)
      return await call()
    })
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
