import { Fault } from '@caisson/wire'
import type { Visit } from '../call.ts'
import { sendJson, sendNothing } from '../call.ts'
import { checkToken, checkTokenOrSignature } from './access.ts'
import { compose } from './compose.ts'
import { isRpc, serveRpc } from './connect.ts'
import { download } from './download.ts'
import { sendRefusal } from './failures.ts'
import { measure } from './metrics.ts'
import { upload } from './upload.ts'

export { SignedLinks } from './signed-links.ts'

interface PlainRoute {
  check?: (visit: Visit) => void
  serve: (visit: Visit) => Promise<void>
}

/** The plain routes besides the two Connect services. Others, such as /init, are only for whoever creates sandboxes. */
const ROUTES: Readonly<Record<string, PlainRoute>> = {
  'GET /health': { serve: async ({ reply }) => sendNothing(reply) },
  'GET /files': { check: checkTokenOrSignature, serve: download },
  'POST /files': { check: checkTokenOrSignature, serve: upload },
  'POST /files/compose': { check: checkToken, serve: compose },
  'GET /metrics': { check: checkToken, serve: measure },
  'GET /envs': { check: checkToken, serve: async ({ reply, entered }) => sendJson(reply, 200, entered.record.env) },
}

/** Serves what E2B's clients expect of the daemon inside a sandbox: commands, files and status. Rejects if the sandbox is gone. */
export async function serveEnvd(visit: Visit): Promise<void> {
  const { request, reply } = visit
  try {
    const path = (request.url ?? '').split('?', 1)[0] ?? ''
    if (isRpc(path)) return await serveRpc(visit, path)
    const route = ROUTES[`${request.method} ${path}`]
    if (route === undefined) throw new Fault('NOT_FOUND', `no route ${request.method} ${path}`)
    route.check?.(visit)
    await route.serve(visit)
  } catch (failure) {
    // A client that has gone reads no answer.
    if (!reply.destroyed) sendRefusal(visit, failure)
  }
}
