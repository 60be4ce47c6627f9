/** Signal names for "signal: killed", in the words of Go's os package, which E2B's clients expect. */
const NAMES = [
  ...['hangup', 'interrupt', 'quit', 'illegal instruction', 'trace/breakpoint trap', 'aborted', 'bus error', 'floating point exception'],
  ...['killed', 'user defined signal 1', 'segmentation fault', 'user defined signal 2', 'broken pipe', 'alarm clock', 'terminated'],
]

export function signalName(number: number): string {
  return NAMES[number - 1] ?? `signal ${number}`
}
