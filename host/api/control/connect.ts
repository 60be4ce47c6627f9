import { z } from 'zod'
import { type Route, readJson, sendJson } from '../call.ts'
import { DEFAULT_TIMEOUT_S, lifeLeftMs } from './life.ts'
import { withNamed } from './named.ts'
import { sandboxBody } from './shapes.ts'

const memory = z.boolean().optional()

/** Extends the timeout of a running sandbox (never shortens it), or resumes a paused one. */
export const connectSandbox: Route = route('/sandboxes/:id/connect', z.strictObject({ timeout: z.int().min(0), memory }))
export const connectSandboxV2: Route = route(
  '/v2/sandboxes/:id/connect',
  z.strictObject({ timeout: z.int().min(0).default(DEFAULT_TIMEOUT_S.v2), memory }),
)

function route(path: string, schema: z.ZodType<{ timeout: number; memory?: boolean | undefined }>): Route {
  return {
    method: 'POST',
    path,
    async handle(call) {
      const { timeout, memory = true } = await readJson(call, schema)
      const wish = { timeoutMs: lifeLeftMs(timeout, 'timeout', call), memory }
      const { record, isResumed } = await withNamed(call, ({ id }) => call.rooms.fleet.connect(id, call.owner, wish, call.signal))
      sendJson(call.reply, isResumed ? 201 : 200, sandboxBody(record, call))
    },
  }
}
