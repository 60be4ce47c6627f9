import { sendJson } from '../call.ts'
import { refuseQuery } from '../control/query.ts'
import { forOperators } from './operator.ts'

/** What this machine can do; tries it. */
export const examineMachine = forOperators({
  method: 'GET',
  path: '/caisson/v1/doctor',
  async handle(call) {
    refuseQuery(call)
    sendJson(call.reply, 200, await call.rooms.control.doctor(call.signal))
  },
})
