import { randomBytes } from 'node:crypto'
import { Fault, type FileChange } from '@caisson/wire'
import type { CreateWatcherRequest } from '@caisson/wire/envd/filesystem'
import { Code } from '@connectrpc/connect'
import { bytesOfChange } from '../../sandbox/guarded-files.ts'
import type { LiveSandbox } from '../../sandbox/life.ts'
import { connectFailure } from './failures.ts'
import type { Rpc } from './serving.ts'
import { type ChangeInit, changeEvent, changesLost, watchFolder } from './watching.ts'

/** Per sandbox. */
const MAX_WATCHERS = 64
/** Limit on unread changes; further ones are dropped, and that is reported. */
const MAX_WAITING = 10_000
/** For all watchers of a sandbox together: the guest chooses the length of its file names. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024
/** A watcher is removed after this long without a request. */
const EXPIRES_MS = 3_600_000

interface Watcher {
  readonly stop: AbortController
  changes: ChangeInit[]
  bytes: number
  /** Reported with the next answer. */
  failure: unknown
  expiry: NodeJS.Timeout
}

/** Watched folders of a sandbox, for clients that poll. */
class Watchers {
  readonly #byId = new Map<string, Watcher>()
  #bytes = 0

  async create(request: CreateWatcherRequest, rpc: Rpc): Promise<string> {
    if (this.#byId.size >= MAX_WATCHERS) {
      const many = new Fault('LIMIT_HIT', `more than ${MAX_WATCHERS} watchers in one sandbox: remove some`)
      throw connectFailure(many, Code.ResourceExhausted)
    }
    const id = `w${randomBytes(10).toString('hex')}`
    const stop = new AbortController()
    const watcher: Watcher = { stop, changes: [], bytes: 0, failure: undefined, expiry: this.#expiry(id) }
    this.#byId.set(id, watcher)
    try {
      void this.#gather(watcher, await watchFolder(request, rpc, stop.signal), rpc.isOwn)
    } catch (failure) {
      this.#end(id)
      throw failure
    }
    return id
  }

  /** Changes since the last request. */
  drain(id: string): ChangeInit[] {
    const watcher = this.#find(id)
    clearTimeout(watcher.expiry)
    watcher.expiry = this.#expiry(id)
    const { changes, failure } = watcher
    if (changes.length === 0 && failure !== undefined) {
      watcher.failure = undefined
      throw failure
    }
    watcher.changes = []
    this.#bytes -= watcher.bytes
    watcher.bytes = 0
    return changes
  }

  remove(id: string): void {
    this.#find(id)
    this.#end(id)
  }

  async #gather(watcher: Watcher, folder: AsyncIterator<FileChange>, isOwn: boolean): Promise<void> {
    try {
      for (let next = await folder.next(); next.done !== true; next = await folder.next()) {
        if (watcher.stop.signal.aborted) return
        const bytes = bytesOfChange(next.value)
        const isFull = watcher.changes.length >= MAX_WAITING || this.#bytes + bytes > MAX_WAITING_BYTES
        if (isFull || (next.value.kind === 'overflow' && !isOwn)) watcher.failure = changesLost()
        else {
          watcher.changes.push(changeEvent(next.value, isOwn))
          watcher.bytes += bytes
          this.#bytes += bytes
        }
      }
    } catch (failure) {
      if (!watcher.stop.signal.aborted) watcher.failure = failure
    }
  }

  #find(id: string): Watcher {
    const watcher = this.#byId.get(id)
    if (watcher === undefined) throw new Fault('NOT_FOUND', `watcher with id ${id} not found`)
    return watcher
  }

  #end(id: string): void {
    const watcher = this.#byId.get(id)
    if (watcher === undefined) return
    this.#byId.delete(id)
    this.#bytes -= watcher.bytes
    clearTimeout(watcher.expiry)
    watcher.stop.abort()
  }

  #expiry(id: string): NodeJS.Timeout {
    return setTimeout(() => this.#end(id), EXPIRES_MS).unref()
  }
}

/** They end with the sandbox or when it is paused. */
const all = new WeakMap<LiveSandbox, Watchers>()

export function watchersOf(rpc: Rpc): Watchers {
  const { live } = rpc.visit.entered
  const known = all.get(live)
  if (known !== undefined) return known
  const made = new Watchers()
  all.set(live, made)
  return made
}
