/** For a caller who gave no signal. A fresh one each time: listeners on a shared one would pile up. */
export function signalOr(signal: AbortSignal | undefined): AbortSignal {
  return signal ?? new AbortController().signal
}
