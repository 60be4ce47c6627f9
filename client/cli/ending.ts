import { type EndReason, Fault, type FaultCode } from '@caisson/wire'

/** The codes that Caisson itself ends with; below 124 they are the program's own. */
const EXIT = { timeout: 124, cannot: 125, refused: 126, killed: 137 } as const

/** Caisson could have done it, and a rule says no. */
const REFUSALS: ReadonlySet<FaultCode> = new Set(['AUDIT_UNWRITABLE', 'SCAN_REFUSED'])

export function exitCodeOf(fault: Fault): number {
  return REFUSALS.has(fault.code) ? EXIT.refused : EXIT.cannot
}

/** Anything thrown, as an error of the catalogue. */
export function inTheCatalogue(error: unknown): Fault {
  if (error instanceof Fault) return error
  return new Fault('INTERNAL', error instanceof Error ? error.message : String(error), { cause: error })
}

/** Parts of these lines come from inside the wall: a control character in them must not reach the terminal, and what is not seen, or turns letters round, is shown. */
export function oneLine(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
    .replace(/\p{Cf}/gu, '\u{fffd}')
    .trim()
}

export function faultLine(fault: Fault): string {
  const [message, hint] = [oneLine(fault.message), oneLine(fault.hint)]
  // Some messages end with their hint, for clients that show nothing else.
  const said = hint !== '' && message.endsWith(hint) ? message.slice(0, -hint.length).trimEnd() : message
  return `caisson: ${fault.code}: ${said.replace(/[.!?]$/, '')}. ${hint}`.trimEnd()
}

/** Which option gives more of it. No number: what helps depends on what the limit was. */
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

/** How a run ended that was not left to the program. */
export interface Ending {
  exitCode: number
  fault: Fault
}

/** The end that `reason` (of a run, or of the whole sandbox) means. `detail` is the keeper's. */
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

/** Program ended by a signal, and no limit is to blame. */
export function endingBySignal(number: number, name: string): Ending {
  return {
    exitCode: 128 + number,
    fault: new Fault('KILLED', `the program was ended by ${name}`),
  }
}
