import { join } from 'node:path'
import { z } from 'zod'
import { sweepCgroups } from './cgroups.ts'
import { Keeper } from './keeper.ts'
import { KeeperSocket } from './keeper-socket.ts'
import { Keepers } from './keepers.ts'
import { probeContainer } from './probe.ts'
import type { Wall } from './wall.ts'

const Options = z.strictObject({
  keepers: z.instanceof(Keepers),
  /** The keeper program. */
  keeper: z.string().startsWith('/'),
  uid: z.int().min(0),
})
type Options = z.infer<typeof Options>

/** Namespaces, cgroups, capabilities, seccomp and Landlock of the host's own kernel, set up and held by the keeper. */
export const container: Wall<Options> = {
  name: 'container',
  options: Options,
  promises: { kernel: 'shared', snapshot: 'files', pty: true, rootless: true },
  probe: probeContainer,
  async launch(plan, options, signal) {
    const keeper = Keeper.launched(options.keepers.take(), plan)
    try {
      const standing = await keeper.standing(signal)
      // Whoever waited for this has the first word with the agent; then there is time.
      setImmediate(() => options.keepers.prepare())
      return standing
    } catch (failure) {
      await keeper[Symbol.asyncDispose]()
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
