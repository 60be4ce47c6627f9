import type { ServerResponse } from 'node:http'
import { CATALOGUE, Fault } from '@caisson/wire'
import { sendFailure, sendJson, type Visit } from '../call.ts'
import { ContextFault } from './context-fault.ts'
import { createContext, deleteContext, interruptContext, listContexts, restartContext } from './contexts.ts'
import { execute } from './execute.ts'

const MAX_PHRASE = 256

/** The sandbox cannot answer; the server knows how to answer in its place. */
const NOT_OURS: ReadonlySet<string> = new Set(['SANDBOX_GONE', 'AGENT_LOST', 'CANCELLED'])

/**
 * The code interpreter of a sandbox, as E2B's SDKs know it on port 49999. Failures are plain text; our own clients also get the code. Rejects with
 * SANDBOX_GONE, AGENT_LOST, CANCELLED, or a non-Fault; nothing has been answered then. The server adds the CORS headers.
 */
export async function serveInterpreter(visit: Visit): Promise<void> {
  const { request, reply } = visit
  try {
    await route(visit, request.method ?? '', pathOf(request.url))
  } catch (failure) {
    const fault = failure instanceof ContextFault ? failure.cause : failure
    const isOurs = request.headers['caisson-client'] === '1'
    if (isOurs && fault instanceof Fault && !NOT_OURS.has(fault.code)) sendFailure(reply, fault)
    else if (failure instanceof ContextFault) sendText(reply, failure.status, failure.message)
    else if (failure instanceof Fault && !NOT_OURS.has(failure.code)) sendText(reply, CATALOGUE[failure.code].status, failure.message)
    else throw failure
  }
}

async function route(visit: Visit, method: string, path: string): Promise<void> {
  const [, id, verb] = /^\/contexts\/([^/]+)(?:\/(restart|interrupt))?$/.exec(path) ?? []
  const methods: Record<string, () => Promise<void>> = {}
  if (path === '/execute') methods['POST'] = () => execute(visit)
  else if (path === '/health') methods['GET'] = async () => sendJson(visit.reply, 200, 'OK')
  else if (path === '/contexts') Object.assign(methods, { GET: () => listContexts(visit), POST: () => createContext(visit) })
  else if (id !== undefined && verb === undefined) methods['DELETE'] = () => deleteContext(visit, id)
  else if (id !== undefined) methods['POST'] = () => (verb === 'restart' ? restartContext : interruptContext)(visit, id)
  else throw new ContextFault(404, `Not Found: ${path}`, undefined)
  const handle = methods[method === 'HEAD' ? 'GET' : method]
  if (handle === undefined) {
    visit.reply.setHeader('allow', Object.keys(methods).join(', '))
    throw new ContextFault(405, `Method Not Allowed: ${method} ${path}`, undefined)
  }
  await handle()
}

/** Ignores the query, since clients add their own. */
function pathOf(url = '/'): string {
  try {
    return decodeURIComponent(url.split('?', 1)[0] ?? '/')
  } catch {
    return url
  }
}

function sendText(reply: ServerResponse, status: number, text: string): void {
  if (reply.headersSent) {
    reply.destroy()
    return
  }
  reply.writeHead(status, phraseOf(text), { 'content-type': 'text/plain; charset=utf-8', 'content-length': Buffer.byteLength(text) })
  reply.end(text)
}

/** E2B's JavaScript client shows the reason phrase of the status line and not the body. */
function phraseOf(text: string): string {
  return text.replaceAll(/[^ -~]+/g, ' ').slice(0, MAX_PHRASE)
}
