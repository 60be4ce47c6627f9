import type { WallName } from '@caisson/wire'

/** What became of one way out. `missing`: this kernel does not have it. `failed`: it does not work here even without a wall, so that nothing is shown. */
export type Without = 'escaped' | 'missing' | 'failed'
/** `own kernel`: the sandbox's own kernel granted what the machine's would have to refuse; no way out. `broken`: the attack itself did not run. */
export type Within = 'contained' | 'escaped' | 'own kernel' | 'broken'

export interface Way {
  way: string
  without: Without
  within: Within
  /** What stopped it, or what it got. */
  reason: string
}

export interface Tried {
  attack: string
  why: string
  user: string
  ways: Way[]
  /** What was found on the host afterwards that should not be; null: nothing. */
  damage: string | null
}

export interface WallReport {
  wall: WallName
  /** Why the wall cannot be had here; null: it was attacked. */
  unavailable: string | null
  tried: Tried[]
}

export interface AttackReport {
  version: 2
  at: string
  machine: { kernel: string; architecture: string }
  profile: string
  /** The attacks whose name has one of these in it; null: all there are. */
  only: readonly string[] | null
  walls: WallReport[]
  /** Every way was contained, and each had been shown to be one. False where no wall could be attacked. */
  contained: boolean
}

/** With the installation's signature (Ed25519, base64) over the JSON of the report, as `caisson audit key` checks it. */
export interface SignedReport {
  report: AttackReport
  key: string
  signature: string
}

export function isContained(walls: readonly WallReport[]): boolean {
  const attacked = walls.filter(({ unavailable }) => unavailable === null)
  return attacked.length > 0 && attacked.every(({ tried }) => tried.every(isHeld))
}

export function isHeld({ ways, damage }: Tried): boolean {
  return damage === null && ways.every(({ without, within }) => without !== 'failed' && (within === 'contained' || within === 'own kernel'))
}
