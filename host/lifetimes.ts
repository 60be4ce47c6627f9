import { setMaxListeners } from 'node:events'
import { Fault } from '@caisson/wire'

type Undo = () => PromiseLike<void> | void

/**
 * Undo steps for resources that have been acquired and not handed on. Undone last-in first-out when the scope ends, unless moved out before:
 *
 *     await using undo = new Undos()
 *     const dir = await makeDir(); undo.add(() => removeDir(dir))
 *     return new Thing(dir, undo.move())
 */
export class Undos implements AsyncDisposable {
  #undos: Undo[] = []

  add(undo: Undo): void {
    this.#undos.push(undo)
  }

  /** Success: the steps now belong to the result, and this stack undoes nothing. */
  move(): Undos {
    const moved = new Undos()
    moved.#undos = this.#undos
    this.#undos = []
    return moved
  }

  /** Runs every step even if others fail; joins the failures. */
  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = []
    for (let undo = this.#undos.pop(); undo !== undefined; undo = this.#undos.pop()) {
      try {
        await undo()
      } catch (failure) {
        failures.push(failure)
      }
    }
    if (failures.length === 1) throw failures[0]
    if (failures.length > 1) throw new AggregateError(failures, 'several steps of the clean-up failed')
  }
}

/** For clean-up: an independent deadline, because the caller's signal may be aborted already. */
export function freshDeadline(milliseconds: number): AbortSignal {
  return AbortSignal.timeout(milliseconds)
}

/** The one error for a caller's abort; `cause` is the reason that it gave. */
export function cancelled(signal: AbortSignal): Fault {
  return new Fault('CANCELLED', 'cancelled by the caller', { cause: signal.reason })
}

export function refuseAborted(signal: AbortSignal): void {
  if (signal.aborted) throw cancelled(signal)
}

/** Calls `then` on abort. The returned function unsubscribes. Many operations may share one signal, so Node's warning of a listener leak is disabled. */
export function onAbort(signal: AbortSignal, then: () => void): () => void {
  setMaxListeners(0, signal)
  signal.addEventListener('abort', then, { once: true })
  return () => signal.removeEventListener('abort', then)
}

/** Waits for `work`, or rejects if the signal aborts first. A result that arrives too late goes to `undo` instead of being dropped. */
function orUndo<T>(work: Promise<T>, undo: (late: T) => Promise<void> | void, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let over = false
    const abort = () => {
      over = true
      reject(cancelled(signal))
    }
    if (signal.aborted) abort()
    const stop = onAbort(signal, abort)
    work.then(
      (value) => {
        stop()
        if (!over) resolve(value)
        else Promise.resolve(value).then(undo).catch(reject)
      },
      (failure: unknown) => {
        stop()
        reject(failure)
      },
    )
  })
}

/** As `orUndo`, for a result that needs no undoing. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return orUndo(work, () => undefined, signal)
}

/**
 * Work with a timeout of its own. If that expires first, it fails with `late(failure)`. Once done, it leaves no timer behind (`within` of the wire would leave
 * one until its time is over).
 */
export async function bounded<T>(
  milliseconds: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
  late: (cause: unknown) => Fault,
): Promise<T> {
  refuseAborted(signal)
  const either = new AbortController()
  const timer = setTimeout(() => either.abort(new DOMException(`not done within ${milliseconds} ms`, 'TimeoutError')), milliseconds)
  timer.unref()
  const stop = onAbort(signal, () => either.abort(signal.reason))
  try {
    return await work(either.signal)
  } catch (failure) {
    throw either.signal.aborted && !signal.aborted ? late(failure) : failure
  } finally {
    clearTimeout(timer)
    stop()
  }
}

/** A signal that never aborts, for calls with a bound of their own. */
export function unending(): AbortSignal {
  return new AbortController().signal
}

const SIGKILL = 9
/** The process is gone, or cannot be reached any more; its `exit` says which. */
const OVER: ReadonlySet<string> = new Set(['NOT_FOUND', 'SANDBOX_GONE', 'AGENT_LOST', 'WIRE_VIOLATION', 'CANCELLED'])

/** Kills a process without waiting for its end. A process that has ended already is no failure; any other failure becomes a process warning. */
export function killNow(target: { signal(number: number, signal: AbortSignal): Promise<void> } | undefined): void {
  target?.signal(SIGKILL, unending()).catch((failure: unknown) => {
    if (failure instanceof Fault && OVER.has(failure.code)) return
    process.emitWarning(`a process could not be killed: ${failure instanceof Error ? failure.message : String(failure)}`, 'CaissonWarning')
  })
}

export interface Settled<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(failure: unknown): void
}

/** A promise that is settled from outside. If it rejects with nobody waiting, that is not an unhandled rejection. */
export function settled<T>(): Settled<T> {
  let resolve: (value: T) => void = () => undefined
  let reject: (failure: unknown) => void = () => undefined
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  promise.catch(() => undefined)
  return { promise, resolve, reject }
}

/**
 * Listeners for an event that may be far away, which can unsubscribe. A promise would keep each listener until the event, and with `Promise.race` also the
 * other results.
 */
export class Onlookers<T> {
  readonly #waiting = new Set<(end: T) => void>()
  #over: { readonly end: T } | undefined

  /** `end` never rejects. */
  constructor(end: Promise<T>) {
    void end.then((over) => {
      this.#over = { end: over }
      for (const tell of this.#waiting) tell(over)
      this.#waiting.clear()
    })
  }

  /** Calls `tell` once, never before this returns. The returned function unsubscribes. */
  add(tell: (end: T) => void): () => void {
    const own = (end: T) => tell(end)
    this.#waiting.add(own)
    const over = this.#over
    if (over !== undefined) queueMicrotask(() => this.#waiting.delete(own) && own(over.end))
    return () => this.#waiting.delete(own)
  }

  /** Whichever comes first. */
  async orEnd<U>(work: Promise<U>): Promise<U | T> {
    const first = settled<U | T>()
    const stop = this.add(first.resolve)
    work.then(first.resolve, first.reject)
    try {
      return await first.promise
    } finally {
      stop()
    }
  }

  get count(): number {
    return this.#waiting.size
  }
}
