import type { FileChange, FileEntry, FileOptions, Files } from '@caisson/wire'
import { Fault } from '@caisson/wire'
import { Data_Channel as Channel, type Entry, type FileEvent, FileEvent_Kind as Kind } from '@caisson/wire/agent'
import { cancelled, refuseAborted } from '../lifetimes.ts'
import type { AgentConnection, Operation } from './connection.ts'
import { bytesOfChange, bytesOfEntry, fileEntry } from './entries.ts'
import type { AgentStream, OpenedResult } from './stream.ts'

/** Pages of a listing are not subject to credit, so longer listings are refused. */
const MAX_LISTED_ENTRIES = 200_000
const MAX_LISTED_BYTES = 64 * 1024 * 1024
/** Unread changes; beyond this they are dropped, and the reader is told. */
const MAX_WAITING_CHANGES = 4096
const MAX_WAITING_BYTES = 4 * 1024 * 1024

const CHANGES: Readonly<Record<number, FileChange['kind']>> = {
  [Kind.CREATE]: 'create',
  [Kind.WRITE]: 'write',
  [Kind.REMOVE]: 'remove',
  [Kind.RENAME]: 'rename',
  [Kind.CHMOD]: 'chmod',
  [Kind.OVERFLOW]: 'overflow',
}

/** `lent`: a piece is the reader's until it asks for the next one; its memory is then used again. */
export type ReadOptions = FileOptions & { offset?: number; length?: number; lent?: boolean }

/** `lift`: where the user lacks permission, root creates it and gives it to the user; for users that may become root anyway. */
export type MakeOptions = FileOptions & { lift?: boolean }

/** `own`: the file becomes the user's, whoever owned it before. `stays`: the caller does not modify pieces of content after handing them over. */
export type WriteOptions = MakeOptions & {
  mode?: number
  append?: boolean
  attributes?: Record<string, string>
  own?: boolean
  stays?: boolean
}

/** `localOnly` refuses file systems served by another machine or process, because their changes cannot be seen. */
export type WatchOptions = FileOptions & { recursive?: boolean; includeEntry?: boolean; localOnly?: boolean }

export interface Watching extends AsyncIterable<FileChange> {
  /** Resolves once no later change can be missed. */
  readonly armed: Promise<void>
}

/** Files inside, accessed through the agent: the host never opens any path itself. */
export class AgentFiles implements Files {
  readonly #connection: AgentConnection

  constructor(connection: AgentConnection) {
    this.#connection = connection
  }

  async *read(path: string, options: ReadOptions, signal: AbortSignal) {
    const { user = '', offset = 0, length, lent = false } = options
    whole('offset', offset)
    if (length !== undefined) whole('length', length)
    // On the wire, length 0 means "to the end".
    if (length === 0) return void (await this.stat(path, { user, follow: true }, signal))
    const value = { path, user, offset: BigInt(offset), length: BigInt(length ?? 0) }
    const stream = this.#open({ case: 'readFile', value }, `read ${path}`, signal)
    try {
      await stream.opened
      for (let piece = await stream.take(); piece !== undefined; piece = await stream.take()) {
        yield piece.bytes
        if (lent) this.#connection.memory.giveBack(piece.bytes)
      }
    } finally {
      if (lent) this.#connection.memory.clear()
      stream.giveUp(new Fault('CANCELLED', 'the reader stopped'))
    }
  }

  async write(
    path: string,
    content: AsyncIterable<Uint8Array> | Uint8Array,
    options: WriteOptions,
    signal: AbortSignal,
  ): Promise<FileEntry> {
    const { user = '', mode = 0, append = false, attributes = {}, own = false, lift = false, stays = false } = options
    if (!Number.isInteger(mode) || mode < 0 || mode > 0o7777) throw new Fault('BAD_REQUEST', `mode: ${mode} is no file mode`)
    const value = { path, user, mode, append, attributes, own, lift }
    const stream = this.#open({ case: 'writeFile', value }, `write ${path}`, signal)
    try {
      await stream.opened
      if (content instanceof Uint8Array) {
        await stream.send(Channel.FILE, content, true, signal)
      } else {
        for await (const piece of content) await stream.send(Channel.FILE, piece, false, signal, stays)
        await stream.send(Channel.FILE, new Uint8Array(), true, signal)
      }
    } catch (failure) {
      stream.giveUp(new Fault('CANCELLED', 'the writer stopped', { cause: failure }))
      // The agent's own reason (no_space) says more than "it has ended".
      await stream.closed.catch((cause: unknown) => {
        if (!(cause instanceof Fault) || cause.code !== 'CANCELLED') throw cause
      })
      throw failure
    }
    await stream.closed
    return this.stat(path, { user, follow: true }, signal)
  }

  async stat(path: string, options: FileOptions & { follow?: boolean }, signal: AbortSignal): Promise<FileEntry> {
    const { user = '', follow = false } = options
    const opened = await this.#open({ case: 'stat', value: { path, user, follow } }, `stat ${path}`, signal).opened
    return fileEntry((opened as Extract<OpenedResult, { case: 'entry' }>).value)
  }

  async list(path: string, options: FileOptions & { depth?: number }, signal: AbortSignal): Promise<FileEntry[]> {
    const { user = '', depth = 1 } = options
    whole('depth', depth)
    const rest: FileEntry[] = []
    let bytes = 0
    const keep = (page: Entry[]) => {
      const entries = page.map(fileEntry)
      for (const entry of entries) bytes += bytesOfEntry(entry)
      if (bytes > MAX_LISTED_BYTES || rest.length + page.length > MAX_LISTED_ENTRIES) {
        const most = `${MAX_LISTED_ENTRIES} entries, or ${MAX_LISTED_BYTES} bytes of them`
        stream.giveUp(new Fault('BAD_REQUEST', `list ${path}: more than ${most}; list its folders one by one`))
      } else {
        rest.push(...entries)
      }
    }
    const stream = this.#connection.open(
      { case: 'listDir', value: { path, user, depth } },
      { what: `list ${path}`, onEvent: (event) => event.case === 'entries' && keep(event.value.entries) },
      signal,
    )
    const opened = (await stream.opened) as Extract<OpenedResult, { case: 'entries' }>
    await stream.closed
    return [...opened.value.entries.map(fileEntry), ...rest]
  }

  async makeDir(path: string, options: MakeOptions, signal: AbortSignal): Promise<FileEntry> {
    const { user = '', lift = false } = options
    await this.#open({ case: 'makeDir', value: { path, user, lift } }, `make folder ${path}`, signal).closed
    return this.stat(path, { user }, signal)
  }

  async move(from: string, to: string, options: FileOptions, signal: AbortSignal): Promise<FileEntry> {
    const { user = '' } = options
    await this.#open({ case: 'move', value: { from, to, user } }, `move ${from} to ${to}`, signal).closed
    return this.stat(to, { user }, signal)
  }

  async remove(path: string, options: FileOptions, signal: AbortSignal): Promise<void> {
    await this.#open({ case: 'remove', value: { path, user: options.user ?? '' } }, `remove ${path}`, signal).closed
  }

  watch(path: string, options: WatchOptions, signal: AbortSignal): Watching {
    const { user = '', recursive = false, includeEntry = false, localOnly = false } = options
    refuseAborted(signal)
    const changes = new Changes()
    const stream = this.#connection.open(
      { case: 'watch', value: { path, user, recursive, includeEntry, localOnly } },
      { what: `watch ${path}`, onEvent: (event) => event.case === 'file' && changes.push(event.value) },
      signal,
    )
    stream.closed.then(
      () => changes.end(undefined),
      (failure: unknown) => changes.end(failure),
    )
    const stop = () => stream.giveUp(signal.aborted ? cancelled(signal) : new Fault('CANCELLED', 'the watcher stopped'))
    return { armed: stream.opened.then(() => undefined), [Symbol.asyncIterator]: () => changes.read(stop) }
  }

  async setAttributes(path: string, attributes: Record<string, string>, options: FileOptions, signal: AbortSignal): Promise<FileEntry> {
    const { user = '' } = options
    await this.#open({ case: 'setAttributes', value: { path, user, attributes } }, `set attributes of ${path}`, signal).closed
    return this.stat(path, { user, follow: true }, signal)
  }

  #open(operation: Operation, what: string, signal: AbortSignal): AgentStream {
    return this.#connection.open(operation, { what }, signal)
  }
}

/** A queue of file changes between the agent and their reader. */
class Changes {
  #waiting: FileChange[] = []
  #bytes = 0
  #overflown = false
  #end: { failure: unknown } | undefined
  #wake: (() => void) | undefined

  push(event: FileEvent): void {
    if (this.#waiting.length >= MAX_WAITING_CHANGES || this.#bytes >= MAX_WAITING_BYTES) {
      if (!this.#overflown) this.#waiting.push({ kind: 'overflow', name: '' })
      this.#overflown = true
      return
    }
    const kind = CHANGES[event.kind]
    if (kind === undefined) throw new Fault('WIRE_VIOLATION', `the agent sent a change of kind ${event.kind}`)
    const change: FileChange = { kind, name: event.name, ...(event.entry === undefined ? {} : { entry: fileEntry(event.entry) }) }
    this.#waiting.push(change)
    this.#bytes += bytesOfChange(change)
    this.#wake?.()
  }

  end(failure: unknown): void {
    this.#end = { failure }
    this.#wake?.()
  }

  async *read(stop: () => void): AsyncGenerator<FileChange> {
    try {
      for (;;) {
        const change = this.#waiting.shift()
        if (change !== undefined) {
          if (this.#waiting.length === 0) this.#overflown = false
          this.#bytes = this.#waiting.length === 0 ? 0 : this.#bytes - bytesOfChange(change)
          yield change
        } else if (this.#end !== undefined) {
          if (this.#end.failure !== undefined) throw this.#end.failure
          return
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve
          })
        }
      }
    } finally {
      stop()
    }
  }
}

function whole(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new Fault('BAD_REQUEST', `${name}: ${value} is not a whole number from 0`)
}
