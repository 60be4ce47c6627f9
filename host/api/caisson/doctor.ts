import { wallNamed } from '@caisson/wire'
import { z } from 'zod'
import { sendJson } from '../call.ts'
import { readQuery } from '../control/query.ts'
import { forOperators } from './operator.ts'

const Query = z.strictObject({ wall: z.string().transform(wallNamed).optional() })

/** Tests what this machine can do, for every wall or a given one. */
export const examineMachine = forOperators({
  method: 'GET',
  path: '/caisson/v1/doctor',
  async handle(call) {
    const { wall } = readQuery(call, Query)
    sendJson(call.reply, 200, await call.rooms.control.doctor(call.signal, wall))
  },
})
