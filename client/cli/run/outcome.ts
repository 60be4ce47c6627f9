import { constants } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { type Death, type EndReason, Fault, type Rich, type RunError } from '@caisson/wire'
import type { Sandbox } from '../../sandbox.ts'
import { type Ending, endingBySignal, endingOf, exitCodeOf } from '../ending.ts'

/** The outcome of a run. */
export interface Outcome {
  exitCode: number
  /** The reason, if it was not the program's own doing. */
  fault?: Fault
  limit?: EndReason
  exception?: RunError
  stdout: string
  stderr: string
  results: Rich[]
}

/** What is known about a finished run. */
export interface Ended {
  exitCode?: number | undefined
  signal?: number | undefined
  limit?: EndReason | undefined
  error?: RunError | undefined
}

/** The name that hosts use (host/sandbox/examination.ts). */
const SCAN_REFUSED = 'ScanRefused'
const INTERRUPTED = 130
/** How long to wait for the sandbox's death record after the connection broke off. */
const DEATH_MS = 5000

export function endOf(ended: Ended, detail = ''): Pick<Outcome, 'exitCode' | 'fault' | 'limit' | 'exception'> {
  const exception = ended.error === undefined ? {} : { exception: ended.error }
  if (ended.limit !== undefined) return { ...exception, ...limited(ended.limit, endingOf(ended.limit, detail)) }
  if (ended.error?.name === SCAN_REFUSED) {
    const fault = new Fault('SCAN_REFUSED', ended.error.value)
    return { ...exception, exitCode: exitCodeOf(fault), fault }
  }
  const exitCode = ended.exitCode ?? (ended.error === undefined ? 0 : ended.error.name === 'KeyboardInterrupt' ? INTERRUPTED : 1)
  const killed = ended.signal ?? (exitCode === 128 + constants.signals.SIGKILL ? constants.signals.SIGKILL : undefined)
  if (killed === undefined || killed === constants.signals.SIGINT) return { exitCode, ...exception }
  return { ...exception, ...endingBySignal(killed, signalName(killed)) }
}

/** What a rejected run means. The sandbox's own death record says more than the broken connection. */
export async function endOfRejection(error: unknown, sandbox: Sandbox): Promise<Pick<Outcome, 'exitCode' | 'fault' | 'limit'>> {
  if (!(error instanceof Fault) || !DEADLY.has(error.code)) throw error
  const death = await soon(sandbox.ended)
  if (death === undefined) throw error
  return limited(death.reason, endingOf(death.reason, death.detail))
}

const DEADLY: ReadonlySet<Fault['code']> = new Set(['SANDBOX_GONE', 'AGENT_LOST', 'LIMIT_HIT'])

function limited(reason: EndReason, ending: Ending): Pick<Outcome, 'exitCode' | 'fault' | 'limit'> {
  return ending.fault.code === 'LIMIT_HIT' ? { ...ending, limit: reason } : ending
}

async function soon(ended: Promise<Death>): Promise<Death | undefined> {
  const waited = new AbortController()
  try {
    return await Promise.race([ended, setTimeout(DEATH_MS, undefined, { signal: waited.signal })])
  } finally {
    waited.abort()
  }
}

function signalName(number: number): string {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`
}
