import { type Route, sendJson } from '../call.ts'
import { refuseQuery } from '../control/query.ts'

export const listProfiles: Route = {
  method: 'GET',
  path: '/caisson/v1/profiles',
  async handle(call) {
    refuseQuery(call)
    sendJson(call.reply, 200, await call.rooms.control.profiles(call.signal))
  },
}
