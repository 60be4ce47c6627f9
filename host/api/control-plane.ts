import { Fault } from '@caisson/wire'
import Router, { type HTTPMethod } from 'find-my-way'
import { type Route, sendJson } from './call.ts'
import type { Incoming } from './incoming.ts'
import type { OpenRequests } from './open-requests.ts'
import type { Parts } from './parts.ts'
import { shownKey } from './tokens.ts'

const MAX_PARAM_CHARACTERS = 1024
const RETRY_S = 1
const nobody = () => undefined

/** Requests that are for no sandbox: routes by method and path, for whoever has shown a key. */
export class ControlPlane {
  readonly #parts: Parts
  readonly #open: OpenRequests
  readonly #router = Router({ maxParamLength: MAX_PARAM_CHARACTERS })

  constructor(parts: Parts, open: OpenRequests) {
    this.#parts = parts
    this.#open = open
    for (const route of parts.routes) this.#router.on(route.method, route.path, nobody, route)
  }

  async answer(call: Incoming, path: string): Promise<void> {
    const method = call.request.method === 'HEAD' ? 'GET' : (call.request.method ?? 'GET')
    if (method === 'GET' && path === '/health') return this.#sayHealthy(call)
    if (method === 'GET' && path === '/metrics') return this.#sendMetrics(call)
    const found = this.#router.find(method as HTTPMethod, path)
    if (found === null) throw new Fault('NOT_FOUND', `there is no ${method} ${shown(path)}`, { hint: 'Check method and path.' })
    const route = found.store as Route
    call.params = found.params
    call.route = route.path
    const owner = this.#owner(call)
    const { telemetry } = this.#parts
    await telemetry.received(`${route.method} ${route.path}`, {}, call.request.headers, () => route.handle(call.ownedBy(owner)))
  }

  #owner(call: Incoming) {
    const key = shownKey(call.request)
    const owner = key === undefined ? undefined : this.#parts.ownerOf(key)
    if (owner === undefined) throw new Fault('UNAUTHENTICATED', key === undefined ? 'no key was sent' : 'the key is not known here')
    call.owner = owner
    if (this.#open.crowded(owner.name) !== undefined) {
      const hint = 'Wait until some of them have ended.'
      throw new Fault('QUOTA_EXCEEDED', `too many requests of ${owner.name} are under way`, { hint, retryAfterS: RETRY_S })
    }
    call.whenOver(this.#open.admit(call.request.socket, owner.name))
    return owner
  }

  #sayHealthy(call: Incoming): void {
    call.route = '/health'
    sendJson(call.reply, 200, { status: 'ok' })
  }

  /** For operators: what it says of the machine and of others' sandboxes is not every user's to know. */
  async #sendMetrics(call: Incoming): Promise<void> {
    call.route = '/metrics'
    if (!this.#owner(call).operator)
      throw new Fault('ACCESS_DENIED', 'the metrics are for operators', { hint: 'Use the key of an operator.' })
    const { meters } = this.#parts.telemetry
    const page = await meters.page()
    call.reply.writeHead(200, { 'content-type': meters.contentType, 'content-length': Buffer.byteLength(page) })
    call.reply.end(page)
  }
}

const MAX_SHOWN_CHARACTERS = 200

function shown(path: string): string {
  return JSON.stringify(path.length > MAX_SHOWN_CHARACTERS ? `${path.slice(0, MAX_SHOWN_CHARACTERS)}...` : path)
}
