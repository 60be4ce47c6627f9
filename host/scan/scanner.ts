import { Worker } from 'node:worker_threads'
import type { Scanned, ScanRule } from '@caisson/policy'
import { FairTurns } from '../fair-turns.ts'
import { freshDeadline, onAbort, orAborted } from '../lifetimes.ts'
import { MAX_SCANNED_CHARACTERS } from './limits.ts'
import type { Answer, Order, Seen } from './words.ts'

/** A scan takes milliseconds. One that needs longer, even on a slow machine, has gone wrong. */
const PATIENCE_MS = 10_000
const HEAP_MB = 512
/** Limit per owner. An owner's slow code delays others by at most one scan. */
const MAX_WAITING = 256
/** Cache size: code that is run repeatedly gives the same result. */
const MAX_KEPT = 256
const MAX_KEPT_CHARACTERS = 4096

/** What the code says, or why it cannot be read. */
export type Scan = ({ readonly seen: Seen } & { readonly unseen?: never }) | { readonly seen?: never; readonly unseen: string }

/** The scan thread, started on demand. It gives early warnings and is not a security boundary: the walls hold whatever it overlooks. */
export class Scanner implements AsyncDisposable {
  readonly #program: string
  readonly #waiting = new Map<number, (scan: Scan) => void>()
  readonly #kept = new Map<string, Scan>()
  #worker: Worker | undefined
  #next = 0
  /** One scan at a time, so that each has its full time limit. */
  readonly #turns = new FairTurns({ atOnce: 1, ofOne: 1, waitingOfOne: MAX_WAITING })

  /** `program`: the bundle of scanning.ts. */
  constructor(program: string) {
    this.#program = program
  }

  /** Rejects only when the signal aborts. `owner`: the code's owner. */
  async scan(language: Scanned, code: string, sets: readonly ScanRule['set'][], signal: AbortSignal, owner = ''): Promise<Scan> {
    if (code.length > MAX_SCANNED_CHARACTERS) return { unseen: `it is longer than ${MAX_SCANNED_CHARACTERS / 1024} KiB` }
    const key = JSON.stringify([language, sets, code])
    const kept = this.#kept.get(key)
    if (kept !== undefined) return kept
    const done = await this.#turns.take(owner, signal)
    if (done === null) return { unseen: 'too many others wait to be looked at' }
    // An aborted scan continues unobserved; the next one starts when it has ended.
    const scan = await orAborted(this.#ask({ order: this.#next++, language, code, sets }).finally(done), signal)
    if (scan.seen !== undefined && code.length <= MAX_KEPT_CHARACTERS) this.#keep(key, scan)
    return scan
  }

  #keep(key: string, scan: Scan): void {
    this.#kept.set(key, scan)
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest)
  }

  async #ask(order: Order): Promise<Scan> {
    const worker = this.#begun()
    const stop = onAbort(freshDeadline(PATIENCE_MS), () => void this.#end('it took too long'))
    try {
      return await new Promise<Scan>((resolve) => {
        this.#waiting.set(order.order, resolve)
        // It keeps the process alive while somebody waits for it.
        worker.ref()
        worker.postMessage(order)
      })
    } finally {
      stop()
      this.#waiting.delete(order.order)
      worker.unref()
    }
  }

  #begun(): Worker {
    if (this.#worker !== undefined) return this.#worker
    const worker = new Worker(this.#program, { resourceLimits: { maxOldGenerationSizeMb: HEAP_MB }, env: {}, name: 'caisson-scan' })
    worker.unref()
    worker.on('message', (answer: Answer) => {
      this.#waiting.get(answer.order)?.('seen' in answer ? { seen: answer.seen } : { unseen: answer.unseen })
    })
    const gone = (why: string) => {
      // Nobody waits for a worker that was terminated earlier; those who wait now are waiting for its successor.
      if (this.#worker !== worker) return
      this.#worker = undefined
      for (const resolve of this.#waiting.values()) resolve({ unseen: why })
    }
    worker.on('error', (failure) => gone(failure instanceof Error ? failure.message : String(failure)))
    worker.on('exit', () => gone('the thread that scans ended'))
    this.#worker = worker
    return worker
  }

  async #end(why: string): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    for (const resolve of this.#waiting.values()) resolve({ unseen: why })
    await worker?.terminate()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end('the host ends')
  }
}
