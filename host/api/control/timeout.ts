import { z } from 'zod'
import { type Route, readJson, sendNothing } from '../call.ts'
import { lifeLeftMs } from './life.ts'
import { withNamed } from './named.ts'

const Body = z.strictObject({ timeout: z.int() })

/** Counted from now; may shorten the timeout. */
export const setTimeoutOfSandbox: Route = {
  method: 'POST',
  path: '/sandboxes/:id/timeout',
  async handle(call) {
    const { timeout } = await readJson(call, Body)
    const timeoutMs = lifeLeftMs(timeout, 'timeout', call)
    await withNamed(call, ({ id }) => call.rooms.fleet.setTimeout(id, call.owner, timeoutMs, call.signal))
    sendNothing(call.reply)
  },
}
