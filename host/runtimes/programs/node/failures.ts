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
  const more = thrown.cause !== undefined || thrown instanceof AggregateError || Object.keys(thrown).length > 0
  const traceback = more ? shown(thrown) : String(thrown.stack)
  return { name: String(thrown.name), value: bounded(String(thrown.message)), traceback: bounded(traceback) }
}

/**
 * What code shows of an error itself (`console.error(e)`, `e.stack`) ends with its own frames: not with ours, which run it, nor with the `caller` of the cell. Who
 * sets `Error.prepareStackTrace` himself has all of them, as anywhere.
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

/** As Node has it, which puts the code into that of its own errors. */
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
    // A stack that cannot be set is shown as it is.
    if (!(failure instanceof TypeError)) throw failure
  }
  if (error.cause instanceof Error) clean(error.cause, caller, seen)
  if (error instanceof AggregateError) for (const one of error.errors) if (one instanceof Error) clean(one, caller, seen)
}

/** A line of Node's own source, or of a text that is none. */
const HEAD_OF_OTHERS = /^(?:node:.*|<anonymous_script>):\d+\n.*\n *\^*\n\n?/

/** V8 puts the source line before some stacks, with what we put around a cell. It matters for a syntax error, which has no frames. */
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
    // `inspect` calls code of the value.
    return `<cannot be shown: ${failure instanceof Error ? failure.message : typeof failure}>`
  }
}

function bounded(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}\n[... ${text.length - MAX_TEXT} characters left out]`
}
