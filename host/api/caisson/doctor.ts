import { wallNamed } from '@caisson/wire'
import { z } from 'zod'
import { sendJson } from '../call.ts'
import { readQuery } from '../control/query.ts'
import { forOperators } from './operator.ts'

const Query = z.strictObject({ wall: z.string().transform(wallNamed).optional() })

/** What this machine can do, for each wall or the one that is named; tries it. */
export const examineMachine = forOperators({
  method: 'GET',
  path: '/caisson/v1/doctor',
  async handle(call) {
    const { wall } = readQuery(call, Query)
    sendJson(call.reply, 200, await call.rooms.control.doctor(call.signal, wall))
  },
})
