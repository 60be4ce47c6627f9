import { Fault } from '@caisson/wire'
import pino from 'pino'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type Fields = Readonly<Record<string, unknown>>

/** One JSON object per line. Callers choose the fields: never a token, a key, code, output, a body or a query. */
export interface Log {
  debug(fields: Fields, message: string): void
  info(fields: Fields, message: string): void
  warn(fields: Fields, message: string): void
  error(fields: Fields, message: string): void
}

export interface OpenedLog extends Log, AsyncDisposable {}

const MAX_TEXT_CHARACTERS = 2000
const MAX_CAUSES = 5
/** Lines are batched for this long, because each write wakes a thread and then this one, which costs more than the line. Failures are written at once. */
const GATHER_MS = 100
const GATHER_LINES = 256
const GATHER_BYTES = 8192

interface Line {
  readonly atMs: number
  readonly level: LogLevel
  readonly fields: Fields
  readonly message: string
}

/** `to`: a descriptor, or the path of a file to append to. Lines are formatted and written in the background, in batches, in order. */
export function openLog(options: { to: number | string; level: LogLevel }): OpenedLog {
  const destination = pino.destination({ dest: options.to, sync: false, append: true, mode: 0o600, minLength: GATHER_BYTES })
  let atMs = 0
  const timestamp = () => `,"time":"${new Date(atMs).toISOString()}"`
  const logger = pino({ level: options.level, base: null, timestamp, formatters: { level: (label) => ({ level: label }) } }, destination)
  let waiting: Line[] = []
  let gathering: NodeJS.Timeout | undefined
  const leave = () => {
    clearTimeout(gathering)
    gathering = undefined
    const lines = waiting
    waiting = []
    for (const line of lines) {
      atMs = line.atMs
      logger[line.level](line.fields, line.message)
    }
    destination.flush()
  }
  const say = (level: LogLevel) => (fields: Fields, message: string) => {
    if (!logger.isLevelEnabled(level)) return
    waiting.push({ atMs: Date.now(), level, fields, message })
    if (level === 'error' || waiting.length >= GATHER_LINES) leave()
    else gathering ??= setTimeout(leave, GATHER_MS).unref()
  }
  const end = () => {
    leave()
    destination.flushSync()
  }
  process.once('exit', end)
  return {
    debug: say('debug'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        process.off('exit', end)
        leave()
        destination.flush(() => resolve())
      }),
  }
}

/** A failure as log fields: itself and its causes. Only our own stack; texts are truncated, since a sandbox may have influenced them. */
export function failureFields(failure: unknown): Fields {
  const causes: string[] = []
  for (let cause = causeOf(failure); cause !== undefined && causes.length < MAX_CAUSES; cause = causeOf(cause)) causes.push(textOf(cause))
  const stack = failure instanceof Error ? failure.stack?.split('\n').slice(1, 8).join('\n') : undefined
  const code = failure instanceof Fault ? { code: failure.code } : {}
  return { ...code, failure: textOf(failure), ...(causes.length === 0 ? {} : { causes }), ...(stack === undefined ? {} : { stack }) }
}

function causeOf(failure: unknown): unknown {
  return failure instanceof Error ? failure.cause : undefined
}

function textOf(failure: unknown): string {
  const text = failure instanceof Error ? `${failure.name}: ${failure.message}` : String(failure)
  return text.length > MAX_TEXT_CHARACTERS ? `${text.slice(0, MAX_TEXT_CHARACTERS)}...` : text
}
