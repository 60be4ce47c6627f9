import { type Route, readJson, sendNothing } from '../call.ts'
import { withNamed } from './named.ts'
import { egressOf, NetworkUpdate } from './network.ts'

/** Replaces what a sandbox may send out, all of it; what is no longer allowed ends. Nothing said: as a sandbox of E2B's begins. */
export const updateNetwork: Route = {
  method: 'PUT',
  path: '/sandboxes/:id/network',
  async handle(call) {
    const wish = await egressOf(await readJson(call, NetworkUpdate), '', call)
    await withNamed(call, ({ id }) => call.rooms.fleet.setNetwork(id, call.owner, wish, call.signal))
    sendNothing(call.reply)
  },
}
