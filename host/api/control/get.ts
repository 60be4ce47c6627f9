import { type Route, sendJson } from '../call.ts'
import { namedSandbox } from './named.ts'
import { refuseQuery } from './query.ts'
import { detailBody } from './shapes.ts'

export const getSandbox: Route = {
  method: 'GET',
  path: '/sandboxes/:id',
  async handle(call) {
    refuseQuery(call)
    sendJson(call.reply, 200, detailBody(namedSandbox(call), call))
  },
}
