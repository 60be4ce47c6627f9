import type { WallName } from '@caisson/wire'

/** Result of one way without the wall. `missing`: this kernel lacks it. `failed`: it fails here even without a wall, so the test shows nothing. */
export type Without = 'escaped' | 'missing' | 'failed'
/** Result inside the wall. `own kernel`: the sandbox's own kernel granted what the host's would have to refuse; no escape. `broken`: the attack did not run. */
export type Within = 'contained' | 'escaped' | 'own kernel' | 'broken'

export interface Way {
  way: string
  without: Without
  within: Within
  /** What stopped it, or what it obtained. */
  reason: string
}

export interface Tried {
  attack: string
  why: string
  user: string
  ways: Way[]
  /** Unwanted changes found on the host afterwards; null: none. */
  damage: string | null
}

export interface WallReport {
  wall: WallName
  /** Why this wall is unavailable here; null: it was attacked. */
  unavailable: string | null
  tried: Tried[]
}

export interface AttackReport {
  version: 2
  at: string
  machine: { kernel: string; architecture: string }
  profile: string
  /** Only attacks whose name contains one of these; null: all. */
  only: readonly string[] | null
  walls: WallReport[]
  /** Every way was contained and had been shown to work without the wall. False if no wall could be attacked. */
  contained: boolean
}

/** With the installation's signature (Ed25519, base64) over the JSON of the report; `caisson audit key` verifies it. */
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
