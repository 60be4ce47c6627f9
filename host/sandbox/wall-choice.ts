import { Fault, strongerWall, type WallName } from '@caisson/wire'
import type { Profile } from './profile.ts'
import { grantedWall } from './strength.ts'

/** A wall that was built and tried, and why it was chosen. */
export interface Chosen<Built> {
  readonly name: WallName
  readonly reason: string
  readonly built: Built
}

/** The walls that a profile allows, in order of preference. */
export function wallsOf({ wall }: Pick<Profile, 'wall'>): readonly WallName[] {
  return typeof wall === 'string' ? [wall] : wall
}

/** The walls of a profile that are at least as strong as `least`; if there is none, `least` itself. */
export function strongEnough(profile: Pick<Profile, 'wall'>, least: WallName): readonly WallName[] {
  const walls = wallsOf(profile)
  const strong = walls.filter((wall) => strongerWall(wall, least) === wall)
  return strong.length > 0 ? strong : walls.slice(0, 1).map((wall) => grantedWall(undefined, wall, least))
}

/**
 * The first wall that this machine has. `build` rejects with WALL_UNAVAILABLE where it lacks one; any other failure does not lead to the next wall. Rejects
 * with the last failure.
 */
export async function firstBuilt<Built>(
  walls: readonly WallName[],
  profile: string,
  build: (wall: WallName) => Promise<Built>,
): Promise<Chosen<Built>> {
  const missing: string[] = []
  for (const name of walls) {
    try {
      const built = await build(name)
      const wanted = walls.length === 1 ? 'named by' : missing.length === 0 ? 'the first choice of' : 'the next choice of'
      return { name, built, reason: [`${wanted} profile ${profile}`, ...missing].join('; ') }
    } catch (cause) {
      if (!(cause instanceof Fault) || cause.code !== 'WALL_UNAVAILABLE' || name === walls.at(-1)) throw cause
      missing.push(`${name} is not here: ${cause.message.slice(0, 500)}`)
    }
  }
  throw new Fault('INTERNAL', `profile ${profile} names no wall`)
}
