import { Fault, type FaultCode } from '@caisson/wire'

/** Failures that mean: the language cannot be had here. */
const UNMAKEABLE: ReadonlySet<FaultCode> = new Set([
  'LANGUAGE_UNKNOWN',
  'LANGUAGE_UNAVAILABLE',
  'FILE_MISSING',
  'FILE_DENIED',
  'LAUNCH_FAILED',
  'UNSUPPORTED',
])

/** A failure that has its words on this port. */
export class ContextFault extends Error {
  readonly status: number

  constructor(status: number, message: string, cause: unknown) {
    super(message, { cause })
    this.status = status
  }
}

/** What a failure of a context is called on this port; other failures stay as they are. */
export function contextFault(failure: unknown, id?: string): unknown {
  if (!(failure instanceof Fault)) return failure
  if (failure.code === 'NOT_FOUND' && id !== undefined) return new ContextFault(404, `Context ${id} not found`, failure)
  if (UNMAKEABLE.has(failure.code)) return new ContextFault(500, `Failed to create context: ${failure.message}`, failure)
  return failure
}
