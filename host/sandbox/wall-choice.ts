import { Fault, strongerWall, type WallName } from '@caisson/wire'
import type { Profile } from './profile.ts'
import { grantedWall } from './strength.ts'

/** One that is given, tried, and why it is this one. */
export interface Chosen<Built> {
  readonly name: WallName
  readonly reason: string
  readonly built: Built
}

/** What a profile's sandboxes may stand behind, the best first. */
export function wallsOf({ wall }: Pick<Profile, 'wall'>): readonly WallName[] {
  return typeof wall === 'string' ? [wall] : wall
}

/** Of a profile's walls those that are no weaker than `least`, which itself stands in where none is. */
export function strongEnough(profile: Pick<Profile, 'wall'>, least: WallName): readonly WallName[] {
  const walls = wallsOf(profile)
  const strong = walls.filter((wall) => strongerWall(wall, least) === wall)
  return strong.length > 0 ? strong : walls.slice(0, 1).map((wall) => grantedWall(undefined, wall, least))
}

/**
 * The first that this machine has. `build` rejects with WALL_UNAVAILABLE where it has not; what else goes wrong with one is no reason to give another. Rejects
 * as the last one did.
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
