import { CATALOGUE, Fault } from '@caisson/wire'
import type { Entered } from '../sandbox/fleet.ts'
import { failureFields } from '../telemetry/log.ts'
import { sendFailure, sendJson, type Visit } from './call.ts'
import { ControlPlane } from './control-plane.ts'
import { allowOrigin, sendPreflight } from './cors.ts'
import { sendCrowded, sendGone, sendRefused, sendTransitioning } from './edge.ts'
import { type Evidence, evidenceOf, singleSlashes } from './evidence.ts'
import type { Incoming, Upgrade } from './incoming.ts'
import type { OpenRequests } from './open-requests.ts'
import { ENVD_PORT, INTERPRETER_PORT, type Parts } from './parts.ts'
import type { PortProxy } from './ports/proxy.ts'
import { resetConnection } from './reset.ts'
import { isSame } from './tokens.ts'

type ForSandbox = Extract<Evidence, { kind: 'sandbox' }>

/** Codes that mean: there is no sandbox to answer. */
const GONE: ReadonlySet<string> = new Set(['SANDBOX_GONE', 'AGENT_LOST', 'WIRE_VIOLATION'])
const UNKNOWN: ReadonlySet<string> = new Set([...GONE, 'NOT_FOUND'])

/** Finds out what a request is for, and leads it there. */
export class Dispatch {
  readonly #parts: Parts
  readonly #control: ControlPlane
  readonly #ports: PortProxy
  readonly #open: OpenRequests
  readonly #domain: string | null

  constructor(parts: Parts, ports: PortProxy, open: OpenRequests) {
    this.#parts = parts
    this.#control = new ControlPlane(parts, open)
    this.#open = open
    this.#ports = ports
    // As E2B_DOMAIN has it, a domain may come with a port.
    this.#domain = parts.rooms.domain?.replace(/:\d+$/, '').toLowerCase() ?? null
  }

  /** What fails is told to the caller and recorded. */
  async answer(call: Incoming, upgrade?: Upgrade): Promise<void> {
    try {
      await this.#lead(call, upgrade)
    } catch (failure) {
      this.#record(call, failure)
      if (!call.reply.headersSent) call.reply.setHeader('x-request-id', call.id)
      sendFailure(call.reply, failure)
    }
  }

  async #lead(call: Incoming, upgrade: Upgrade | undefined): Promise<void> {
    const { request, reply } = call
    const evidence = evidenceOf(request, this.#domain)
    const isOurs = evidence.kind !== 'sandbox' || isServedHere(evidence.port)
    const path = isOurs ? singleSlashes(evidence.path) : evidence.path
    if (isOurs) {
      if (request.method === 'OPTIONS') return sendPreflight(request, reply)
      allowOrigin(request, reply)
    }
    request.url = path + evidence.query
    if (evidence.kind === 'control') return this.#control.answer(call, path)
    if (evidence.kind === 'signed') return this.#followLink(call)
    if (evidence.path === '') return redirectInto(call, evidence)
    return this.#visit(call, evidence, upgrade)
  }

  /** A signed link has no id of a sandbox: whose token made it is found out. */
  async #followLink(call: Incoming): Promise<void> {
    call.route = 'signed'
    const found = this.#parts.findSigned(call, this.#parts.rooms.fleet)
    if (found !== undefined) {
      return this.#visit(call, { kind: 'sandbox', id: found.id, port: ENVD_PORT, prefix: '', path: '/files', query: '' }, undefined)
    }
    const expiry = Number(call.query.get('signature_expiration') ?? Number.NaN)
    const isExpired = expiry * 1000 < Date.now()
    sendJson(call.reply, 401, { code: 401, message: isExpired ? 'signature is already expired' : 'invalid signature' })
  }

  async #visit(call: Incoming, { id, port, prefix }: ForSandbox, upgrade: Upgrade | undefined): Promise<void> {
    call.sandboxId = id
    call.route = routeTo(port)
    const socket = upgrade?.socket ?? call.request.socket
    const owner = this.#parts.rooms.fleet.ownerOf(id)
    if (owner === undefined) return sendGone(call.request, call.reply, id)
    // Before it is entered: whoever waits until it has woken counts, too.
    const whose = this.#open.crowded(owner, id)
    if (whose !== undefined) return sendCrowded(call.request, call.reply, id, whose)
    call.whenOver(this.#open.admit(socket, owner, id))
    const entered = await this.#enter(call, id)
    if (entered === undefined || !this.#mayPass(call, entered, port)) return
    call.whenOver(entered.onLeave(() => resetConnection(socket)))
    try {
      const visit = call.at(entered, port)
      const about = { 'caisson.sandbox': id, 'caisson.port': port }
      await this.#parts.telemetry.received(call.route, about, call.request.headers, () => this.#serve(visit, prefix, upgrade))
    } catch (failure) {
      if (!isFault(failure, GONE)) throw failure
      sendGone(call.request, call.reply, id)
    }
  }

  #serve(visit: Visit, prefix: string, upgrade: Upgrade | undefined): Promise<void> {
    if (visit.port === ENVD_PORT) return this.#parts.serveEnvd(visit)
    if (visit.port === INTERPRETER_PORT) return this.#parts.serveInterpreter(visit)
    return upgrade === undefined ? this.#ports.forward(visit, prefix) : this.#ports.tunnel(visit, prefix, upgrade)
  }

  /** Undefined: the caller has been told why not. */
  async #enter(call: Incoming, id: string): Promise<Entered | undefined> {
    const { request, reply } = call
    try {
      return await this.#parts.rooms.fleet.enter(id, call.signal)
    } catch (failure) {
      if (isFault(failure, UNKNOWN)) sendGone(request, reply, id)
      else if (failure instanceof Fault && failure.code === 'CONFLICT') sendTransitioning(request, reply, id)
      else if (failure instanceof Fault && failure.code === 'ACCESS_DENIED') sendRefused(request, reply, id, failure.message)
      else throw failure
      return undefined
    }
  }

  #mayPass({ request, reply }: Incoming, { record }: Entered, port: number): boolean {
    if (record.traffic.public || port === ENVD_PORT) return true
    const given = request.headers['e2b-traffic-access-token']
    if (typeof given === 'string' && record.trafficToken !== null && isSame(given, record.trafficToken)) return true
    const wrong = given === undefined ? 'is missing' : 'is not valid'
    sendRefused(request, reply, record.id, `The header E2B-Traffic-Access-Token, which this sandbox wants, ${wrong}`)
    return false
  }

  #record(call: Incoming, failure: unknown): void {
    const code = failure instanceof Fault ? failure.code : 'INTERNAL'
    if (call.isAbandoned) return
    const { log, meters } = this.#parts.telemetry
    meters.failure(code)
    if (CATALOGUE[code].status < 500) return
    const { route, sandboxId } = call
    log.error({ request: call.id, route, sandbox: sandboxId, ...failureFields(failure) }, 'a request failed')
  }
}

function isServedHere(port: number): boolean {
  return port === ENVD_PORT || port === INTERPRETER_PORT
}

function routeTo(port: number): string {
  if (port === ENVD_PORT) return 'envd'
  return port === INTERPRETER_PORT ? 'interpreter' : 'port'
}

function isFault(failure: unknown, codes: ReadonlySet<string>): boolean {
  return failure instanceof Fault && codes.has(failure.code)
}

/** `/s/<id>/<port>`: links that a page inside writes relative to itself need the slash. */
function redirectInto(call: Incoming, { prefix, query }: ForSandbox): void {
  call.reply.writeHead(308, { location: `${prefix}/${query}`, 'content-length': 0 })
  call.reply.end()
}
