import type { WallName } from '@caisson/wire'
import { PRELUDE } from './prelude.ts'

/**
 * An attack is a small Python program that runs twice: without the wall, where it must succeed, and inside it, where it must fail. An attack that fails without
 * the wall proves nothing about the wall; one that breaks proves nothing at all.
 */
export interface Attack {
  /** What an attacker would gain. */
  why: string
  /** The ways out: functions marked `@way('name')` that return evidence, or raise OSError or Contained. See prelude.ts. */
  code: string
  /** The pattern that the reason must match, so that a typing error does not pass for a wall. */
  stoppedBy: RegExp
  /** Passed to the program as `facts`; `walled` says on which side it runs. */
  facts?: (walled: boolean) => Record<string, unknown>
  /** `alone` (default): in its own mount, pid, uts and ipc namespaces. `here`: among the host's processes. */
  place?: 'alone' | 'here'
  /** Without the wall: a descriptor of this process that the program inherits as its number 3, as from a careless launcher. */
  leak?: () => number
  /** Ways that this kernel lacks, with the error that shows it. Any other error there is a failure too. */
  missing?: Record<string, RegExp>
  users?: readonly string[]
  /** The walls that it attacks; all by default. */
  walls?: readonly WallName[]
  /** Checks on the host after the attack inside the wall. */
  untouched?: () => Promise<void> | void
  /** Repairs the host after the attack without the wall. */
  mend?: () => Promise<void> | void
}

export interface NamedAttack extends Attack {
  name: string
}

export interface Verdict {
  verdict: 'ESCAPED' | 'CONTAINED'
  way: string
  text: string
}

export const python = String.raw
export const INTERPRETER = ['/usr/bin/python3', '-I', '-B', '-c'] as const

export function program(code: string): string {
  return `${PRELUDE}${code}\n\nrun_ways()\n`
}

/** Parses what a program reported about its ways. `otherwise` describes how it ended; throws if it did not end well or printed something else. */
export function read(stdout: string, otherwise: string): Verdict[] {
  const lines = stdout.split('\n').slice(0, -1)
  const verdicts = lines.map((line): Verdict => {
    const [verdict, way, text] = line.split('\t')
    if ((verdict !== 'ESCAPED' && verdict !== 'CONTAINED') || way === undefined || text === undefined) {
      throw new Error(`the attack is broken: it said ${JSON.stringify(line)}`)
    }
    return { verdict, way, text }
  })
  if (verdicts.length === 0 || !otherwise.startsWith('exit 0:')) throw new Error(`the attack is broken: ${otherwise}`)
  return verdicts
}
