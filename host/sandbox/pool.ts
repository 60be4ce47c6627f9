import type { Plan } from '@caisson/wire'
import type { Cell } from '../walls/wall.ts'

/** Finished sandboxes that wait to be given a plan's identity. */
export interface Pool {
  /** One that fits, now owned by the caller; undefined: make one. */
  take(plan: Plan, signal: AbortSignal): Promise<Cell | undefined>
}

/** Nobody waits: every sandbox is made when it is asked for. */
export const emptyPool: Pool = { take: async () => undefined }
