import { setMaxListeners } from 'node:events'
import { Fault } from '@caisson/wire'

/** For a caller that gave no signal. A new one each time, because listeners on a shared one would pile up. */
export function signalOr(signal: AbortSignal | undefined): AbortSignal {
  return signal ?? new AbortController().signal
}

/** The caller's abort as a CANCELLED fault; `cause` is its reason. */
export function cancelled(signal: AbortSignal): Fault {
  return new Fault('CANCELLED', 'cancelled by the caller', { cause: signal.reason })
}

/** Calls `then` when the signal aborts, or at once if it has; the returned function cancels that. Many operations may share a signal, so Node need not warn. */
export function onAbort(signal: AbortSignal, then: () => void): () => void {
  if (signal.aborted) then()
  setMaxListeners(0, signal)
  signal.addEventListener('abort', then, { once: true })
  return () => signal.removeEventListener('abort', then)
}
