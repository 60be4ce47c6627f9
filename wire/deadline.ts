import { setMaxListeners } from 'node:events'

/**
 * Aborts on the caller's signal or at a deadline, whichever comes first.
 *
 * Not `AbortSignal.any`: Node (20 to 24) holds the parts of such a signal weakly. Garbage collection can then remove the timeout, and its waiters hang forever.
 */
export function within(milliseconds: number, signal: AbortSignal): AbortSignal {
  if (signal.aborted) return signal
  const either = new AbortController()
  const over = () => {
    signal.removeEventListener('abort', called)
    either.abort(new DOMException(`not done within ${milliseconds} ms`, 'TimeoutError'))
  }
  const timer = setTimeout(over, milliseconds).unref()
  const called = () => {
    clearTimeout(timer)
    either.abort(signal.reason)
  }
  setMaxListeners(0, signal)
  signal.addEventListener('abort', called, { once: true })
  return either.signal
}
