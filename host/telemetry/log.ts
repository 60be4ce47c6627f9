import { Fault } from '@caisson/wire'
import pino from 'pino'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type Fields = Readonly<Record<string, unknown>>

/** One JSON object a line. Fields are chosen by whoever writes: never a token, a key, code, output, a body or a query. */
export interface Log {
  debug(fields: Fields, message: string): void
  info(fields: Fields, message: string): void
  warn(fields: Fields, message: string): void
  error(fields: Fields, message: string): void
}

export interface OpenedLog extends Log, AsyncDisposable {}

const MAX_TEXT_CHARACTERS = 2000
const MAX_CAUSES = 5
/** Lines wait so long for others: each write is a thread that is woken and wakes this one again, which costs more than the line. */
const GATHER_MS = 100
const GATHER_BYTES = 8192

/** `to`: a descriptor or the path of a file, which is appended to. Lines leave in the background, some at a time, in order. */
export function openLog(options: { to: number | string; level: LogLevel }): OpenedLog {
  const destination = pino.destination({ dest: options.to, sync: false, append: true, mode: 0o600, minLength: GATHER_BYTES })
  let isGathering = false
  const leave = () => {
    isGathering = false
    destination.flush()
  }
  const gathered = {
    write: (line: string) => {
      destination.write(line)
      if (isGathering) return
      isGathering = true
      setTimeout(leave, GATHER_MS).unref()
    },
  }
  const base = { level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime }
  const logger = pino({ ...base, formatters: { level: (label) => ({ level: label }) } }, gathered)
  return Object.assign(logger, {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        destination.flush(() => resolve())
      }),
  })
}

/** A failure as fields of a line: itself and what caused it. Our own stack only; texts are cut, since what is inside a wall may have a hand in them. */
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
