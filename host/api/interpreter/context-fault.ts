import { Fault, type FaultCode } from '@caisson/wire'

/** Failures that mean that the language is unavailable here. */
const UNMAKEABLE: ReadonlySet<FaultCode> = new Set([
  'LANGUAGE_UNKNOWN',
  'LANGUAGE_UNAVAILABLE',
  'FILE_MISSING',
  'FILE_DENIED',
  'LAUNCH_FAILED',
  'UNSUPPORTED',
])

/** A failure with its own text on this port. */
export class ContextFault extends Error {
  readonly status: number

  constructor(status: number, message: string, cause: unknown) {
    super(message, { cause })
    this.status = status
  }
}

/** Translates a failure of a context for this port; other failures are unchanged. */
export function contextFault(failure: unknown, id?: string): unknown {
  if (!(failure instanceof Fault)) return failure
  if (failure.code === 'NOT_FOUND' && id !== undefined) return new ContextFault(404, `Context ${id} not found`, failure)
  if (UNMAKEABLE.has(failure.code)) return new ContextFault(500, `Failed to create context: ${failure.message}`, failure)
  return failure
}
