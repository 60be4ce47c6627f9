import { type Route, readJson, sendNothing } from '../call.ts'
import { withNamed } from './named.ts'
import { egressOf, NetworkUpdate } from './network.ts'

/** Replaces all outgoing network rules of a sandbox; connections that are no longer allowed end. Without fields: E2B's initial rules. */
export const updateNetwork: Route = {
  method: 'PUT',
  path: '/sandboxes/:id/network',
  async handle(call) {
    const wish = await egressOf(await readJson(call, NetworkUpdate), '', call)
    await withNamed(call, ({ id }) => call.rooms.fleet.setNetwork(id, call.owner, wish, call.signal))
    sendNothing(call.reply)
  },
}
