import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { FairTurns } from '../../fair-turns.ts'
import { freshDeadline, onAbort } from '../../lifetimes.ts'
import { type Answer, NotSearched, type Order, type Told, type Wanted } from './words.ts'

/** Timeout of one order on even the slowest machine. A thread that takes longer is stuck. */
const PATIENCE_MS = 60_000
/** Searches proceed in pieces of this size, so that nobody waits long for a turn. */
const PIECE_BYTES = 32 * 1024
const MOST = 4
const HEAP_MB = 256
/** Waiting orders per sandbox; each of its connections has one. */
const MAX_WAITING = 1024
/** Concurrent runs per sandbox: each holds memory of the thread. */
const MAX_RUNS = 512
/** Idle timeout of a thread. */
const IDLE_MS = 60_000

/** A run on a searcher thread. Each method rejects with NotSearched, and then nothing of the run may leave. */
export interface FarRun {
  write(bytes: Uint8Array): Promise<Told>
  settle(): Promise<Told>
  close(): void
}

/** The search threads: few, started on demand, and shared fairly between sandboxes. */
export class Searchers implements AsyncDisposable {
  readonly #program: string
  readonly #most: number
  readonly #searchers = new Set<Searcher>()
  readonly #runs = new Map<string, number>()
  #isOver = false

  /** `program`: the bundle of searcher.ts. */
  constructor(program: string, most: number = Math.max(1, Math.min(MOST, availableParallelism() - 1))) {
    this.#program = program
    this.#most = most
  }

  /** Starts a thread, so that the first run need not wait for one. */
  warm(): void {
    if (this.#searchers.size === 0) this.#least()
  }

  /** `said`: the part that has already been judged. Rejects with NotSearched. */
  async begin(sandbox: string, wanted: Wanted, said: Uint8Array): Promise<FarRun> {
    const count = (this.#runs.get(sandbox) ?? 0) + 1
    if (count > MAX_RUNS) throw new NotSearched(`more than ${MAX_RUNS} of its requests are searched at once`)
    this.#runs.set(sandbox, count)
    const run = this.#least().run(sandbox, () => {
      const left = (this.#runs.get(sandbox) ?? 1) - 1
      if (left > 0) this.#runs.set(sandbox, left)
      else this.#runs.delete(sandbox)
    })
    try {
      await run.begin(wanted, said)
      return run
    } catch (failure) {
      run.close()
      throw failure
    }
  }

  /** For specs: to test what a killed thread leaves behind. */
  get threads(): readonly Worker[] {
    return [...this.#searchers].map(({ worker }) => worker)
  }

  #least(): Searcher {
    if (this.#isOver) throw new NotSearched('the host ends')
    const least = [...this.#searchers].sort((a, b) => a.load - b.load)[0]
    if (least !== undefined && (least.load === 0 || this.#searchers.size >= this.#most)) return least
    const searcher = new Searcher(this.#program, () => this.#searchers.delete(searcher))
    this.#searchers.add(searcher)
    return searcher
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true
    await Promise.all([...this.#searchers].map((searcher) => searcher.end('the host ends')))
  }
}

/** One thread. It processes one order at a time. If it dies, everything it was working on is refused. */
class Searcher {
  readonly worker: Worker
  readonly #turns = new FairTurns({ atOnce: 1, ofOne: 1, waitingOfOne: MAX_WAITING })
  readonly #gone: () => void
  #waiting: { run: number; resolve: (told: Told) => void; reject: (failure: NotSearched) => void } | undefined
  #died: string | undefined
  #next = 1
  #idle: (() => void) | undefined
  load = 0

  constructor(program: string, gone: () => void) {
    this.#gone = gone
    this.worker = new Worker(program, { resourceLimits: { maxOldGenerationSizeMb: HEAP_MB }, env: {}, name: 'caisson-search' })
    // It must not keep an otherwise idle host alive.
    this.worker.unref()
    this.worker.on('message', (answer: Answer) => this.#hear(answer))
    this.worker.on('error', (failure) => this.#die(failure instanceof Error ? failure.message : String(failure)))
    this.worker.on('exit', (code) => this.#die(`the thread ended with ${code}`))
    this.#rest()
  }

  run(sandbox: string, done: () => void): FarRun & { begin(wanted: Wanted, said: Uint8Array): Promise<void> } {
    const run = this.#next
    this.#next += 1
    this.load += 1
    this.#idle?.()
    let isOpen = true
    return {
      begin: async (wanted, said) => void (await this.#ask(sandbox, { run, order: 'begin', wanted, said })),
      write: async (bytes) => {
        let all: Told = { findings: [], heldBytes: 0 }
        for (let from = 0; from < bytes.length; from += PIECE_BYTES) {
          const piece = Uint8Array.from(bytes.subarray(from, from + PIECE_BYTES))
          const told = await this.#ask(sandbox, { run, order: 'write', bytes: piece })
          all = { findings: [...all.findings, ...told.findings], heldBytes: told.heldBytes }
        }
        return all
      },
      settle: async () => await this.#ask(sandbox, { run, order: 'settle' }),
      close: () => {
        if (!isOpen) return
        isOpen = false
        if (this.#died === undefined) this.worker.postMessage({ run, order: 'forget' } satisfies Order)
        this.load -= 1
        this.#rest()
        done()
      },
    }
  }

  async end(why: string): Promise<void> {
    this.#die(why)
    await this.worker.terminate()
  }

  async #ask(sandbox: string, order: Order): Promise<Told> {
    const giveBack = await this.#turns.take(sandbox)
    if (giveBack === null) throw new NotSearched('too many of its requests wait to be searched')
    const stop = onAbort(freshDeadline(PATIENCE_MS), () => void this.end('the search got stuck'))
    try {
      return await new Promise<Told>((resolve, reject) => {
        if (this.#died !== undefined) return reject(new NotSearched(this.#died))
        this.#waiting = { run: order.run, resolve, reject }
        // It keeps the host alive while somebody waits for it.
        this.worker.ref()
        this.worker.postMessage(order)
      })
    } finally {
      stop()
      this.#waiting = undefined
      this.worker.unref()
      giveBack()
    }
  }

  #hear(answer: Answer): void {
    const waiting = this.#waiting
    if (waiting?.run !== answer.run) return void this.end('the search lost its place')
    if ('failed' in answer) waiting.reject(new NotSearched(answer.failed))
    else waiting.resolve(answer.told)
  }

  #rest(): void {
    this.#idle?.()
    if (this.load > 0 || this.#died !== undefined) return
    this.#idle = onAbort(freshDeadline(IDLE_MS), () => void this.end('nobody needed it'))
  }

  #die(why: string): void {
    if (this.#died !== undefined) return
    this.#died = why
    this.#idle?.()
    this.#gone()
    this.#waiting?.reject(new NotSearched(`the search of it ended: ${why}`))
  }
}
