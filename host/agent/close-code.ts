import { Fault, type FaultCode } from '@caisson/wire'
import type { Close } from '@caisson/wire/agent'

/** Source: the comment on Close in wire/agent.proto. */
const CODES: Readonly<Record<string, FaultCode>> = {
  not_found: 'FILE_MISSING',
  denied: 'FILE_DENIED',
  exists: 'FILE_EXISTS',
  not_directory: 'FILE_KIND',
  is_directory: 'FILE_KIND',
  special_file: 'FILE_KIND',
  invalid: 'BAD_REQUEST',
  too_large: 'BAD_REQUEST',
  no_user: 'USER_UNKNOWN',
  no_space: 'LIMIT_HIT',
  busy: 'FILE_DENIED',
  unsupported: 'UNSUPPORTED',
  refused: 'NOT_FOUND',
  taken_over: 'NOT_FOUND',
  cancelled: 'CANCELLED',
  failed: 'INTERNAL',
}

const MAX_QUOTED_CHARACTERS = 500

/** Makes text from inside the sandbox safe to show a person: one line, bounded, without terminal control characters. */
function quoted(text: string): string {
  const plain = text.slice(0, MAX_QUOTED_CHARACTERS).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\u{fffd}')
  return text.length > MAX_QUOTED_CHARACTERS ? `${plain}...` : plain
}

export function isCloseCode(code: string): boolean {
  return code === '' || Object.hasOwn(CODES, code)
}

/** The error for an operation that the agent did not carry out. `what` names the operation and its object. */
export function closeFault(close: Close, what: string): Fault {
  const missing = close.code === 'not_found' && what.startsWith('attach')
  const code = missing ? 'NOT_FOUND' : (CODES[close.code] ?? 'WIRE_VIOLATION')
  const detail = close.message === '' ? close.code.replaceAll('_', ' ') : quoted(close.message)
  const hint = close.code === 'no_space' ? { hint: 'The disk of the sandbox is full (reason: disk).' } : {}
  return new Fault(code, `${what}: ${detail}`, hint)
}
