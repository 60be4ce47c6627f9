import { Fault, strongerWall, type WallName } from '@caisson/wire'

/**
 * The wall of a sandbox: the one asked for, or else the default one, strengthened if necessary. `least`: what the key, and whatever the sandbox is made from,
 * require. Throws WALL_TOO_WEAK: a wall that was asked for by name is never replaced.
 */
export function grantedWall(asked: WallName | undefined, usual: WallName, least: WallName): WallName {
  if (asked === undefined) return strongerWall(usual, least)
  if (strongerWall(asked, least) === asked) return asked
  throw new Fault('WALL_TOO_WEAK', `wall: ${asked} is weaker than ${least}, which is the least here`)
}
