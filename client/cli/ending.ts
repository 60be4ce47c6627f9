import { type EndReason, Fault, type FaultCode } from '@caisson/wire'

/** Exit codes of Caisson itself; below 124 they are the program's own. */
const EXIT = { timeout: 124, cannot: 125, refused: 126, killed: 137 } as const

/** Caisson was able to do it, but a rule forbids it. */
const REFUSALS: ReadonlySet<FaultCode> = new Set(['AUDIT_UNWRITABLE', 'SCAN_REFUSED'])

export function exitCodeOf(fault: Fault): number {
  return REFUSALS.has(fault.code) ? EXIT.refused : EXIT.cannot
}

/** Converts anything thrown into an error of the catalogue. */
export function inTheCatalogue(error: unknown): Fault {
  if (error instanceof Fault) return error
  return new Fault('INTERNAL', error instanceof Error ? error.message : String(error), { cause: error })
}

/** Parts of these lines come from inside the sandbox: control characters are removed, and invisible or direction-changing characters are made visible. */
export function oneLine(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
    .replace(/\p{Cf}/gu, '\u{fffd}')
    .trim()
}

export function faultLine(fault: Fault): string {
  const [message, hint] = [oneLine(fault.message), oneLine(fault.hint)]
  // Some messages end with their hint, for clients that show only the message.
  const said = hint !== '' && message.endsWith(hint) ? message.slice(0, -hint.length).trimEnd() : message
  return `caisson: ${fault.code}: ${said.replace(/[.!?]$/, '')}. ${hint}`.trimEnd()
}

/** The option that raises each limit. It names no number, because what helps depends on what the limit was. */
const MORE: Partial<Record<EndReason, string>> = {
  timeout: 'Raise it with --timeout, or lift it with --timeout none.',
  memory: 'Raise it with --memory, or work on smaller pieces.',
  pids: 'Raise it with --pids, which counts threads too.',
  disk: 'Raise it with --disk, or write less.',
  output: 'Raise it with --output, or print less.',
}

const WHAT: Partial<Record<EndReason, string>> = {
  timeout: 'the time limit was reached',
  memory: 'the memory limit was hit',
  pids: 'the process limit was hit',
  disk: 'the disk limit was hit',
  output: 'the output limit was hit',
}

/** How a run ended, when the program did not end it itself. */
export interface Ending {
  exitCode: number
  fault: Fault
}

/** Maps `reason` (of a run or of the whole sandbox) to an ending. `detail` comes from the keeper. */
export function endingOf(reason: EndReason, detail: string): Ending {
  const what = WHAT[reason]
  const more = detail === '' ? '' : ` (${detail})`
  if (what !== undefined) {
    const fault = new Fault('LIMIT_HIT', `${what}${more}`, { hint: MORE[reason] ?? '' })
    return { exitCode: reason === 'timeout' ? EXIT.timeout : EXIT.killed, fault }
  }
  if (reason === 'kill') return { exitCode: EXIT.killed, fault: new Fault('SANDBOX_GONE', `the sandbox was killed${more}`, { hint: '' }) }
  return { exitCode: EXIT.cannot, fault: new Fault('AGENT_LOST', `the sandbox ended by itself: ${reason}${more}`) }
}

/** The program was killed by a signal, and no limit was the cause. */
export function endingBySignal(number: number, name: string): Ending {
  return {
    exitCode: 128 + number,
    fault: new Fault('KILLED', `the program was ended by ${name}`),
  }
}
