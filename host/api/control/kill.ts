import { type Route, sendNothing } from '../call.ts'
import { withNamed } from './named.ts'

/** Also kills a paused sandbox and deletes its saved state. */
export const killSandbox: Route = {
  method: 'DELETE',
  path: '/sandboxes/:id',
  async handle(call) {
    await withNamed(call, ({ id }) => call.rooms.fleet.kill(id, call.owner, call.signal))
    sendNothing(call.reply)
  },
}
