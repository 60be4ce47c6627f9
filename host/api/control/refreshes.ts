import { Fault } from '@caisson/wire'
import { z } from 'zod'
import { type Route, readJson, sendNothing } from '../call.ts'
import { DEFAULT_TIMEOUT_S, lifeLeftMs } from './life.ts'
import { withNamed } from './named.ts'

const Body = z.strictObject({ duration: z.int().min(0).max(3600).default(DEFAULT_TIMEOUT_S.v1) })

/** Counted from now; never shortens the timeout. */
export const refreshSandbox: Route = {
  method: 'POST',
  path: '/sandboxes/:id/refreshes',
  async handle(call) {
    const { duration } = await readJson(call, Body)
    const timeoutMs = lifeLeftMs(duration, 'duration', call)
    await withNamed(call, async ({ id, state, endMs }) => {
      if (state === 'paused') throw new Fault('CONFLICT', `sandbox ${id} is paused`, { hint: 'Resume it: POST /sandboxes/{id}/connect.' })
      if (Date.now() + timeoutMs > endMs) await call.rooms.fleet.setTimeout(id, call.owner, timeoutMs, call.signal)
    })
    sendNothing(call.reply)
  },
}
