import { Fault } from '@caisson/wire'
import { z } from 'zod'
import { type OwnedCall, type Route, sendJson } from '../call.ts'
import { readQuery, refuseQuery, WholeNumber } from './query.ts'
import { time } from './shapes.ts'

/** Creations of this long make up the rate. */
const RATE_MS = 60_000

const span = { start: WholeNumber.optional(), end: WholeNumber.optional() }
const Span = z.strictObject(span)
const MaxQuery = z.strictObject({ ...span, metric: z.enum(['concurrent_sandboxes', 'sandbox_start_rate']) })

/** An owner is what E2B calls a team; a caller sees its own. */
export const listTeams: Route = {
  method: 'GET',
  path: '/teams',
  async handle(call) {
    refuseQuery(call)
    const { name } = call.owner
    // The caller's own key, as it came: none other is known here but by its hash.
    sendJson(call.reply, 200, [{ teamID: name, name, apiKey: call.request.headers['x-api-key'] ?? '', isDefault: true }])
  },
}

/** How it is now: no history is kept, so that a time that is over has no metrics. */
export const getTeamMetrics: Route = {
  method: 'GET',
  path: '/teams/:id/metrics',
  async handle(call) {
    refuseForeign(call)
    const query = readQuery(call, Span)
    sendJson(call.reply, 200, holdsNow(query) ? [now(call)] : [])
  },
}

export const getMaxTeamMetrics: Route = {
  method: 'GET',
  path: '/teams/:id/metrics/max',
  async handle(call) {
    refuseForeign(call)
    const query = readQuery(call, MaxQuery)
    if (!holdsNow(query)) {
      throw new Fault('UNSUPPORTED', 'start, end: no history of an owner is kept', { hint: 'Leave them out to hear how it is now.' })
    }
    const { timestamp, timestampUnix, concurrentSandboxes, sandboxStartRate } = now(call)
    const value = query.metric === 'concurrent_sandboxes' ? concurrentSandboxes : sandboxStartRate
    sendJson(call.reply, 200, { timestamp, timestampUnix, value })
  },
}

function refuseForeign({ params, owner }: OwnedCall): void {
  if (params['id'] !== owner.name) throw new Fault('NOT_FOUND', `no team ${JSON.stringify(params['id'])}`)
}

function holdsNow({ start, end }: { start?: number | undefined; end?: number | undefined }): boolean {
  const seconds = Math.floor(Date.now() / 1000)
  return (start ?? 0) <= seconds && (end ?? seconds) >= seconds
}

function now({ rooms, owner }: OwnedCall) {
  const atMs = Date.now()
  const sandboxes = rooms.fleet.list(owner)
  return {
    timestamp: time(atMs),
    timestampUnix: Math.floor(atMs / 1000),
    concurrentSandboxes: sandboxes.filter(({ state }) => state === 'running').length,
    sandboxStartRate: sandboxes.filter(({ startedMs }) => startedMs > atMs - RATE_MS).length / (RATE_MS / 1000),
  }
}
