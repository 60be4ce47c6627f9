import { Fault, strongerWall, type WallName } from '@caisson/wire'

/**
 * The wall of a sandbox: what was asked for, or else the usual one made as strong as it must be. `least` is what the key, and whatever the sandbox is made from, demand.
 * Throws WALL_TOO_WEAK: whoever names a wall is told, and never given another.
 */
export function grantedWall(asked: WallName | undefined, usual: WallName, least: WallName): WallName {
  if (asked === undefined) return strongerWall(usual, least)
  if (strongerWall(asked, least) === asked) return asked
  throw new Fault('WALL_TOO_WEAK', `wall: ${asked} is weaker than ${least}, which is the least here`)
}
