import { join } from 'node:path'
import { z } from 'zod'
import { sweepCgroups } from './cgroups.ts'
import { Keeper } from './keeper.ts'
import { KeeperSocket } from './keeper-socket.ts'
import { Keepers } from './keepers.ts'
import type { Wall } from './wall.ts'

const PATIENCE_MS = 20_000

/** Options of every wall that is built and held by a keeper. */
export const KeptOptions = z.strictObject({
  keepers: z.instanceof(Keepers),
  /** The keeper program. */
  keeper: z.string().startsWith('/'),
  uid: z.int().min(0),
  /** How long a keeper may take to clean up after a failed launch; absent: the default. */
  patienceMs: z.int().positive().optional(),
})
export type KeptOptions = z.infer<typeof KeptOptions>

/** Three members of a wall that are the same for all that keepers build: the plan says which wall it is. */
export const kept: Pick<Wall<KeptOptions>, 'launch' | 'adopt' | 'sweep'> = {
  async launch(plan, options, signal, listening) {
    const keeper = Keeper.launched(options.keepers.take(), plan, listening)
    try {
      const standing = await keeper.standing(signal)
      // The caller, who waited for this sandbox, talks to the agent first.
      setImmediate(() => options.keepers.prepare())
      return standing
    } catch (failure) {
      await keeper.end(options.patienceMs ?? PATIENCE_MS)
      throw failure
    }
  },
  async adopt(plan, _options, signal) {
    return Keeper.adopted(await KeeperSocket.to(join(plan.dir, 'keeper.sock'), signal), plan, signal)
  },
  async sweep(id, options, signal) {
    await sweepCgroups(id, options.uid, signal)
  },
}
