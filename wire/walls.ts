/**
 * The kinds of isolation, the weakest first: whoever asks for one never gets one that stands before it here. host/walls/shelf.ts has one
 * line for each.
 */
export const WALLS = ['container', 'gvisor'] as const
export type WallName = (typeof WALLS)[number]

export function isWallName(name: string): name is WallName {
  return (WALLS as readonly string[]).includes(name)
}

/** The stronger of two. */
export function strongerWall(one: WallName, other: WallName): WallName {
  return WALLS.indexOf(one) >= WALLS.indexOf(other) ? one : other
}
