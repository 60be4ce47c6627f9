import { join } from 'node:path'
import { z } from 'zod'
import { sweepCgroups } from './cgroups.ts'
import { Keeper } from './keeper.ts'
import { KeeperSocket } from './keeper-socket.ts'
import { Keepers } from './keepers.ts'
import type { Wall } from './wall.ts'

const PATIENCE_MS = 20_000

/** What every wall needs that a keeper builds and holds. */
export const KeptOptions = z.strictObject({
  keepers: z.instanceof(Keepers),
  /** The keeper program. */
  keeper: z.string().startsWith('/'),
  uid: z.int().min(0),
  /** How long a keeper may take to clear away what it did not bring to stand; absent: the usual. */
  patienceMs: z.int().positive().optional(),
})
export type KeptOptions = z.infer<typeof KeptOptions>

/** Three members of a wall, the same for all that keepers build: the plan says which one it is. */
export const kept: Pick<Wall<KeptOptions>, 'launch' | 'adopt' | 'sweep'> = {
  async launch(plan, options, signal, listening) {
    const keeper = Keeper.launched(options.keepers.take(), plan, listening)
    try {
      const standing = await keeper.standing(signal)
      // Whoever waited for this has the first word with the agent; then there is time.
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
