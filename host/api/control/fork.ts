import { Fault } from '@caisson/wire'
import { z } from 'zod'
import { type Route, readJson, sendJson } from '../call.ts'
import { DEFAULT_TIMEOUT_S, lifeMs } from './life.ts'
import { withNamed } from './named.ts'
import { errorBody, sandboxBody } from './shapes.ts'

const Body = z.strictObject({
  timeout: z.int().default(DEFAULT_TIMEOUT_S.v1),
  count: z.int().min(1).max(100).default(1),
  memory: z.boolean().optional(),
})

/** Copies a sandbox as of one moment. Each copy starts or fails on its own. */
export const forkSandbox: Route = {
  method: 'POST',
  path: '/sandboxes/:id/fork',
  async handle(call) {
    const { timeout, count, memory } = await readJson(call, Body)
    const wish = { count, timeoutMs: lifeMs(timeout, 'timeout', call), ...(memory === undefined ? {} : { memory }) }
    const forks = await withNamed(call, ({ id }) => call.rooms.fleet.fork(id, call.owner, wish, call.signal))
    const bodies = forks.map((fork) => (fork instanceof Fault ? { error: errorBody(fork) } : { sandbox: sandboxBody(fork, call) }))
    sendJson(call.reply, 201, bodies)
  },
}
