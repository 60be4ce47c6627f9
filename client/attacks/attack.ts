import type { WallName } from '@caisson/wire'
import { PRELUDE } from './prelude.ts'

/**
 * An attack is a small Python program that is run twice: without the wall, where it must succeed, and within it, where it must not. An attack
 * that fails without the wall proves nothing about the wall, and one that breaks proves nothing at all.
 */
export interface Attack {
  /** What somebody would gain. */
  why: string
  /** Ways out: functions marked `@way('name')` that return evidence, or raise OSError or Contained. See prelude.ts. */
  code: string
  /** What the reason must look like, so that a typing error does not pass for a wall. */
  stoppedBy: RegExp
  /** Given to the program as `facts`; `walled` says on which side it runs. */
  facts?: (walled: boolean) => Record<string, unknown>
  /** `alone` (default): in mount, pid, uts and ipc namespaces of its own. `here`: among the host's processes. */
  place?: 'alone' | 'here'
  /** Without the wall: a descriptor of this process that the program gets as its number 3, as a careless launcher would leave it. */
  leak?: () => number
  /** Ways that this kernel does not have at all, and how it says so; anything else there is a failure, too. */
  missing?: Record<string, RegExp>
  users?: readonly string[]
  /** Those that it is an attack on; all, unless it says so. */
  walls?: readonly WallName[]
  /** What must hold on the host after the attack within the wall. */
  untouched?: () => Promise<void> | void
  /** Puts the host right after the attack without the wall. */
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

/** What a program said of its ways. `otherwise` says how it ended; throws when it did not end well, or said something else. */
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
