import { inspect } from 'node:util'

export interface Failure {
  name: string
  value: string
  traceback: string
}

const MAX_TEXT = 256 * 1024
/** The one name for it in all languages. */
export const INTERRUPTED: Failure = { name: 'KeyboardInterrupt', value: '', traceback: 'KeyboardInterrupt' }

/** What `process.exit` means where the process goes on. */
export class SystemExit extends Error {
  override readonly name = 'SystemExit'

  constructor(code: unknown) {
    super(code === undefined ? '' : String(code))
  }
}

/** What was thrown, for the user: no frame of ours or of Node's own, nor the line by which a cell is called, `caller`. */
export function failureOf(thrown: unknown, caller?: string): Failure {
  if (isInterrupt(thrown)) return INTERRUPTED
  if (!(thrown instanceof Error)) {
    const value = bounded(shown(thrown))
    return { name: 'Error', value, traceback: `Uncaught ${value}` }
  }
  clean(thrown, caller, new Set())
  if (thrown instanceof SystemExit) return { name: thrown.name, value: thrown.message, traceback: `SystemExit: ${thrown.message}` }
  const more = thrown.cause !== undefined || Object.keys(thrown).length > 0
  const traceback = more ? shown(thrown) : String(thrown.stack)
  return { name: String(thrown.name), value: bounded(String(thrown.message)), traceback: bounded(traceback) }
}

function isInterrupt(thrown: unknown): boolean {
  return thrown instanceof Error && (thrown as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_INTERRUPTED'
}

function clean(error: Error, caller: string | undefined, seen: Set<unknown>): void {
  if (seen.has(error)) return
  seen.add(error)
  try {
    error.stack = withoutHead(error, String(error.stack ?? error))
      .split('\n')
      .filter((line) => !/^ {4}at /.test(line) || !(line.includes(__filename) || /[( ]node:/.test(line) || line === `    at ${caller}`))
      .join('\n')
  } catch (failure) {
    // A stack that cannot be set is shown as it is.
    if (!(failure instanceof TypeError)) throw failure
  }
  if (error.cause instanceof Error) clean(error.cause, caller, seen)
  if (error instanceof AggregateError) for (const one of error.errors) if (one instanceof Error) clean(one, caller, seen)
}

/** V8 puts the source line before some stacks, with what we put around a cell. It matters for a syntax error, which has no frames. */
function withoutHead(error: Error, stack: string): string {
  const head = /^((?:cell \d+|\[eval\]):\d+)\n(\((?:async )?\(\) => \{)?(.*)\n( *\^+)\n\n?/.exec(stack)
  if (head === null) return stack
  const [all, place, wrapper = '', source, caret = ''] = head
  const rest = stack.slice(all.length)
  return error instanceof SyntaxError ? `${place}\n${source}\n${caret.slice(wrapper.length)}\n\n${rest}` : rest
}

function shown(value: unknown): string {
  try {
    return inspect(value)
  } catch (failure) {
    // `inspect` calls code of the value.
    return `<cannot be shown: ${failure instanceof Error ? failure.message : typeof failure}>`
  }
}

function bounded(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}\n[... ${text.length - MAX_TEXT} characters left out]`
}
