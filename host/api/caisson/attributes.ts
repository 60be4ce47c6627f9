import { z } from 'zod'
import { type Route, readJson, sendJson } from '../call.ts'
import { withNamed } from '../control/named.ts'

const Text = z.string().max(4096)
const Body = z.strictObject({ path: Text.min(1), user: z.string().max(64).optional(), attributes: z.record(z.string().max(255), Text) })

/** Sets file attributes whose names headers cannot carry. */
export const setFileAttributes: Route = {
  method: 'POST',
  path: '/caisson/v1/sandboxes/:id/attributes',
  async handle(call) {
    const { path, user, attributes } = await readJson(call, Body)
    const entry = await withNamed(call, async ({ id }) => {
      const { live } = await call.rooms.fleet.enter(id, call.signal)
      return live.files.setAttributes(path, attributes, user === undefined ? {} : { user }, call.signal)
    })
    sendJson(call.reply, 200, { entry })
  },
}
