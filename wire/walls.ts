import { Fault } from './errors.ts'

/** The kinds of isolation, weakest first. A request for one never gets one that stands earlier in this list. host/walls/shelf.ts has one line for each. */
export const WALLS = ['container', 'gvisor', 'microvm'] as const
export type WallName = (typeof WALLS)[number]

/** Throws WALL_UNKNOWN. */
export function wallNamed(name: string): WallName {
  const found = WALLS.find((wall) => wall === name)
  if (found !== undefined) return found
  throw new Fault('WALL_UNKNOWN', `no wall ${JSON.stringify(name.slice(0, 64))}; there are: ${WALLS.join(', ')}`)
}

/** The stronger of two. */
export function strongerWall(one: WallName, other: WallName): WallName {
  return WALLS.indexOf(one) >= WALLS.indexOf(other) ? one : other
}
