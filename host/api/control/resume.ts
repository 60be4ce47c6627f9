import { Fault } from '@caisson/wire'
import { z } from 'zod'
import { type Route, readJson, sendJson } from '../call.ts'
import { DEFAULT_TIMEOUT_S, lifeMs } from './life.ts'
import { withNamed } from './named.ts'
import { sandboxBody } from './shapes.ts'

const Body = z.strictObject({
  timeout: z.int().default(DEFAULT_TIMEOUT_S.v1),
  autoPause: z.boolean().optional(),
  memory: z.boolean().default(true),
})

export const resumeSandbox: Route = {
  method: 'POST',
  path: '/sandboxes/:id/resume',
  async handle(call) {
    const { timeout, autoPause, memory } = await readJson(call, Body)
    const wish = { timeoutMs: lifeMs(timeout, 'timeout', call), memory }
    const { record } = await withNamed(call, async ({ id, state, lifecycle }) => {
      if (state === 'running') throw new Fault('CONFLICT', `sandbox ${id} is running already`)
      if (autoPause !== undefined && autoPause !== (lifecycle.onTimeout === 'pause')) {
        throw new Fault('UNSUPPORTED', 'autoPause: what happens at the time limit is settled when a sandbox is created', {
          hint: 'Leave it out here.',
        })
      }
      return call.rooms.fleet.connect(id, call.owner, wish, call.signal)
    })
    sendJson(call.reply, 201, sandboxBody(record, call))
  },
}
