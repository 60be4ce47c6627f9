import { inspect } from 'node:util'

export interface Failure {
  name: string
  value: string
  traceback: string
}

const MAX_TEXT = 256 * 1024
/** The same name in all languages. */
export const INTERRUPTED: Failure = { name: 'KeyboardInterrupt', value: '', traceback: 'KeyboardInterrupt' }

/** What `process.exit` throws in a cell, where the process goes on. */
export class SystemExit extends Error {
  override readonly name = 'SystemExit'

  constructor(code: unknown) {
    super(code === undefined ? '' : String(code))
  }
}

/** A thrown value as shown to the user: without frames of ours or of Node's own, and without the line that calls a cell (`caller`). */
export function failureOf(thrown: unknown, caller?: string): Failure {
  if (isInterrupt(thrown)) return INTERRUPTED
  if (!(thrown instanceof Error)) {
    const value = bounded(shown(thrown))
    return { name: 'Error', value, traceback: `Uncaught ${value}` }
  }
  clean(thrown, caller, new Set())
  if (thrown instanceof SystemExit) return { name: thrown.name, value: thrown.message, traceback: `SystemExit: ${thrown.message}` }
  const more = thrown.cause !== undefined || thrown instanceof AggregateError || Object.keys(thrown).length > 0
  const traceback = more ? shown(thrown) : String(thrown.stack)
  return { name: String(thrown.name), value: bounded(String(thrown.message)), traceback: bounded(traceback) }
}

/**
 * Limits the stacks that code itself shows (`console.error(e)`, `e.stack`) to the user's own frames: without our frames around them, and without the cell's
 * `caller`. Code that sets `Error.prepareStackTrace` itself gets all frames, as usual.
 */
export function hideOurFrames(caller: () => string): void {
  const usual = Error.prepareStackTrace
  const value: typeof Error.prepareStackTrace = (error, frames) => {
    const kept = theirs(frames, caller())
    if (usual !== undefined) return usual(error, kept)
    return [headOf(error), ...kept].join('\n    at ')
  }
  Object.defineProperty(Error, 'prepareStackTrace', { value, writable: true, configurable: true, enumerable: false })
}

function theirs(frames: NodeJS.CallSite[], caller: string): NodeJS.CallSite[] {
  const kept = frames.filter((frame) => frame.getFileName() !== __filename)
  if (kept.length === frames.length) return frames
  while (kept.at(-1)?.getFileName()?.startsWith('node:') === true) kept.pop()
  if (String(kept.at(-1)) === caller) kept.pop()
  return kept
}

/** The first line of a stack. For Node's own errors, Node includes the error code. */
function headOf(error: Error): string {
  const isNodes = Object.getOwnPropertySymbols(error).some(({ description }) => description === 'kIsNodeError')
  return isNodes ? `${error.name} [${(error as NodeJS.ErrnoException).code}]: ${error.message}` : Error.prototype.toString.call(error)
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
    // A read-only stack is shown as it is.
    if (!(failure instanceof TypeError)) throw failure
  }
  if (error.cause instanceof Error) clean(error.cause, caller, seen)
  if (error instanceof AggregateError) for (const one of error.errors) if (one instanceof Error) clean(one, caller, seen)
}

/** A source line of Node's own or of an anonymous script. */
const HEAD_OF_OTHERS = /^(?:node:.*|<anonymous_script>):\d+\n.*\n *\^*\n\n?/

/** Removes the source line, with our wrapper around a cell, that V8 puts before some stacks. For a syntax error, which has no frames, the user's part stays. */
function withoutHead(error: Error, whole: string): string {
  const stack = whole.replace(HEAD_OF_OTHERS, '')
  const head = /^((?:cell \d+|\[eval\]):\d+)\n(\((?:async )?\(\) => \{(?:;return \[\()?)?(.*)\n( *\^+)\n\n?/.exec(stack)
  if (head === null) return stack
  const [all, place, wrapper = '', source, caret = ''] = head
  const rest = stack.slice(all.length)
  return error instanceof SyntaxError ? `${place}\n${source}\n${caret.slice(wrapper.length)}\n\n${rest}` : rest
}

function shown(value: unknown): string {
  try {
    return inspect(value)
  } catch (failure) {
    // `inspect` calls user code.
    return `<cannot be shown: ${failure instanceof Error ? failure.message : typeof failure}>`
  }
}

function bounded(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}\n[... ${text.length - MAX_TEXT} characters left out]`
}
