import { Fault } from '@caisson/wire'
import type { Wish } from './fleet.ts'
import type { Owner, SandboxRecord } from './record.ts'
import { grantedWall } from './strength.ts'

/**
 * The wish for a fork: the source's request, behind the wall that the source's disk was written behind. Throws WALL_TOO_WEAK when the key requires a stronger
 * wall.
 */
export function forked(record: SandboxRecord, { leastWall }: Pick<Owner, 'leastWall'>, timeoutMs: number): Wish {
  const { request, plan, env, metadata, lifecycle, traffic, egress, accessToken } = record
  const wall = grantedWall(plan.wall, plan.wall, leastWall)
  const asked = { ...request, wall, env: { ...env }, metadata: { ...metadata } }
  return { request: asked, timeoutMs, lifecycle, traffic, egress, secure: accessToken !== null }
}

/** Why one of several forks failed. */
export function asFault(failure: unknown): Fault {
  return failure instanceof Fault ? failure : new Fault('INTERNAL', 'the fork could not be made', { cause: failure })
}
