import { setMaxListeners } from 'node:events'
import { Fault } from '@caisson/wire'

/** For a caller who gave no signal. A fresh one each time: listeners on a shared one would pile up. */
export function signalOr(signal: AbortSignal | undefined): AbortSignal {
  return signal ?? new AbortController().signal
}

/** The caller's abort, as the one error that says so; `cause` is the reason it gave. */
export function cancelled(signal: AbortSignal): Fault {
  return new Fault('CANCELLED', 'cancelled by the caller', { cause: signal.reason })
}

/** Calls `then` when the signal aborts, at once if it has; the result stops that. Many operations may share one signal: Node need not warn of it. */
export function onAbort(signal: AbortSignal, then: () => void): () => void {
  if (signal.aborted) then()
  setMaxListeners(0, signal)
  signal.addEventListener('abort', then, { once: true })
  return () => signal.removeEventListener('abort', then)
}
