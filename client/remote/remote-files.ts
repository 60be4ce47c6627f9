import { Fault, type FileChange, type FileEntry, type FileOptions, type Files } from '@caisson/wire'
import { onAbort } from '../signals.ts'
import { serverStream, unary } from './connect.ts'
import { sandboxPath } from './control.ts'
import { changeOf, entryOf } from './entries.ts'
import { isRecord, type Json, wholeText } from './json.ts'
import { Pending } from './pending.ts'
import { refusal } from './refusal.ts'
import { PORT, type Visit } from './visit.ts'

/** Maximum number of unread changes; beyond it, the daemon has to keep or drop them. */
const MAX_WAITING_CHANGES = 4096
const NOT_SATISFIABLE = 416

/** Files inside a sandbox, over HTTP. */
export class RemoteFiles implements Files {
  readonly #visit: Visit

  constructor(visit: Visit) {
    this.#visit = visit
  }

  async *read(path: string, options: FileOptions & { offset?: number; length?: number }, signal: AbortSignal) {
    const { user, offset = 0, length } = options
    whole('offset', offset)
    if (length !== undefined) whole('length', length)
    if (length === 0) return void (await this.stat(path, { ...(user === undefined ? {} : { user }), follow: true }, signal))
    const isPart = offset > 0 || length !== undefined
    const range = `bytes=${offset}-${length === undefined ? '' : offset + length - 1}`
    const ask = { method: 'GET' as const, path: `/files?${query({ path, username: user })}`, headers: isPart ? { range } : {} }
    const what = `read ${path}`
    const answer = await this.#visit.attempt(PORT.agent, ask, signal)
    if (answer.status === NOT_SATISFIABLE && isPart) return void (await wholeText(answer, what))
    if (answer.status !== (isPart ? 206 : 200)) throw await fileRefusal(answer, what)
    yield* answer.body
  }

  async write(
    path: string,
    content: AsyncIterable<Uint8Array> | Uint8Array,
    options: FileOptions & { mode?: number; append?: boolean; attributes?: Record<string, string> },
    signal: AbortSignal,
  ): Promise<FileEntry> {
    const { user, mode, append = false, attributes } = options
    if (mode !== undefined && !(Number.isInteger(mode) && mode >= 0 && mode <= 0o7777)) {
      throw new Fault('BAD_REQUEST', `mode: ${mode} is no file mode`)
    }
    const wished = { path, username: user, mode: mode === undefined ? undefined : mode.toString(8), append: append ? '1' : undefined }
    const ask = {
      method: 'POST' as const,
      path: `/files?${query(wished)}`,
      headers: { 'content-type': 'application/octet-stream' },
      body: content,
    }
    const what = `write ${path}`
    const answer = await this.#visit.attempt(PORT.agent, ask, signal)
    if (answer.status !== 200) throw await fileRefusal(answer, what)
    await wholeText(answer, what)
    const asUser = user === undefined ? {} : { user }
    if (attributes !== undefined && Object.keys(attributes).length > 0) return this.setAttributes(path, attributes, asUser, signal)
    return this.stat(path, { ...asUser, follow: true }, signal)
  }

  async stat(path: string, options: FileOptions & { follow?: boolean }, signal: AbortSignal): Promise<FileEntry> {
    const { follow = false } = options
    return entryIn(await this.#call('Stat', { path, follow }, options, `stat ${path}`, signal), `stat ${path}`)
  }

  async list(path: string, options: FileOptions & { depth?: number }, signal: AbortSignal): Promise<FileEntry[]> {
    const { depth = 1 } = options
    whole('depth', depth)
    const { entries } = await this.#call('ListDir', { path, depth }, options, `list ${path}`, signal)
    return Array.isArray(entries) ? entries.map((entry) => entryOf(entry, `list ${path}`)) : []
  }

  async makeDir(path: string, options: FileOptions, signal: AbortSignal): Promise<FileEntry> {
    const what = `make folder ${path}`
    return entryIn(await this.#call('MakeDir', { path }, options, what, signal), what)
  }

  async move(from: string, to: string, options: FileOptions, signal: AbortSignal): Promise<FileEntry> {
    const what = `move ${from} to ${to}`
    return entryIn(await this.#call('Move', { source: from, destination: to }, options, what, signal), what)
  }

  async remove(path: string, options: FileOptions, signal: AbortSignal): Promise<void> {
    await this.#call('Remove', { path }, options, `remove ${path}`, signal)
  }

  /** The watch starts now, even if it is read later. */
  watch(path: string, wish: FileOptions & { recursive?: boolean; includeEntry?: boolean }, signal: AbortSignal): AsyncIterable<FileChange> {
    const { user, recursive = false, includeEntry = false } = wish
    const watching = new AbortController()
    const stop = onAbort(signal, () => watching.abort(signal.reason))
    const message = { path, recursive, includeEntry }
    const options = { user, isAhead: true }
    const events = serverStream(this.#visit, 'filesystem.Filesystem/WatchDir', message, options, `watch ${path}`, watching.signal)
    const pending = new Pending<FileChange>()
    const begun = events.next()
    this.#visit.after(begun)
    const listening = begun
      .then(() => gather(events, pending))
      .then(
        () => pending.end(),
        (failure: unknown) => pending.end(failure instanceof Fault ? asFileFault(failure) : failure),
      )
    return {
      async *[Symbol.asyncIterator]() {
        try {
          yield* pending.read()
        } finally {
          stop()
          watching.abort(new Error('the watcher stopped'))
          await listening
        }
      },
    }
  }

  async setAttributes(path: string, attributes: Record<string, string>, options: FileOptions, signal: AbortSignal): Promise<FileEntry> {
    const what = `set attributes of ${path}`
    const { id, control } = this.#visit
    await control.done('POST', `/caisson/v1${sandboxPath(id)}/attributes`, { path, attributes, ...options }, what, signal).catch(ofFiles)
    return this.stat(path, { ...options, follow: true }, signal)
  }

  #call(method: string, message: Json, options: FileOptions, what: string, signal: AbortSignal): Promise<Json> {
    return unary(this.#visit, `filesystem.Filesystem/${method}`, message, { user: options.user }, what, signal).catch(ofFiles)
  }
}

/** Collects what follows the confirmation that the watch is set up. */
async function gather(events: AsyncIterable<Json>, pending: Pending<FileChange>): Promise<void> {
  for await (const event of events) {
    if (!isRecord(event['filesystem'])) continue
    pending.push(changeOf(event['filesystem']), 1)
    await pending.roomBelow(MAX_WAITING_CHANGES)
  }
}

function entryIn(answer: Json, what: string): FileEntry {
  return entryOf(answer['entry'], what)
}

/** If only a status tells what is wrong, it is interpreted as an error about a file. */
async function fileRefusal(answer: Parameters<typeof refusal>[0], what: string): Promise<Fault> {
  return asFileFault(await refusal(answer, what))
}

function ofFiles(failure: unknown): never {
  throw failure instanceof Fault ? asFileFault(failure) : failure
}

function asFileFault(fault: Fault): Fault {
  const code = fault.code === 'NOT_FOUND' ? 'FILE_MISSING' : fault.code === 'ACCESS_DENIED' ? 'FILE_DENIED' : undefined
  return code === undefined ? fault : new Fault(code, fault.message, { cause: fault })
}

function query(members: Record<string, string | undefined>): string {
  const given = Object.entries(members).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')
}

function whole(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new Fault('BAD_REQUEST', `${name}: ${value} is not a whole number from 0`)
}
