import { Fault } from '@caisson/wire'
import { z } from 'zod'
import { type OwnedCall, type Route, sendJson } from '../call.ts'
import { shownKey } from '../tokens.ts'
import { readQuery, refuseQuery, WholeNumber } from './query.ts'
import { time } from './shapes.ts'
import type { TeamSample } from './team-history.ts'

const span = { start: WholeNumber.optional(), end: WholeNumber.optional() }
const Span = z.strictObject(span)
const MaxQuery = z.strictObject({ ...span, metric: z.enum(['concurrent_sandboxes', 'sandbox_start_rate']) })

/** An owner corresponds to E2B's team; a caller sees only its own. */
export const listTeams: Route = {
  method: 'GET',
  path: '/teams',
  async handle(call) {
    refuseQuery(call)
    const { name } = call.owner
    // The caller's own key, as received: all other keys are stored only as hashes.
    sendJson(call.reply, 200, [{ teamID: name, name, apiKey: shownKey(call.request) ?? '', isDefault: true }])
  },
}

/** The last day of this daemon, oldest first. `start` and `end` are seconds since 1970, both inclusive. */
export const getTeamMetrics: Route = {
  method: 'GET',
  path: '/teams/:id/metrics',
  async handle(call) {
    refuseForeign(call)
    sendJson(call.reply, 200, samplesOf(call, readQuery(call, Span)).map(body))
  },
}

export const getMaxTeamMetrics: Route = {
  method: 'GET',
  path: '/teams/:id/metrics/max',
  async handle(call) {
    refuseForeign(call)
    const { metric, ...span } = readQuery(call, MaxQuery)
    const of = (sample: TeamSample) => (metric === 'concurrent_sandboxes' ? sample.concurrent : sample.startRate)
    const [first, ...others] = samplesOf(call, span)
    if (first === undefined) {
      throw new Fault('NOT_FOUND', 'start, end: nothing is known of that time', { hint: 'A daemon knows a day, from its own start on.' })
    }
    const most = others.reduce((one, other) => (of(other) > of(one) ? other : one), first)
    sendJson(call.reply, 200, { timestamp: time(most.atMs), timestampUnix: Math.floor(most.atMs / 1000), value: of(most) })
  },
}

function refuseForeign({ params, owner }: OwnedCall): void {
  if (params['id'] !== owner.name) throw new Fault('NOT_FOUND', `no team ${JSON.stringify(params['id'])}`)
}

function samplesOf({ rooms, owner }: OwnedCall, { start, end }: z.infer<typeof Span>): TeamSample[] {
  if (start !== undefined && end !== undefined && start > end) throw new Fault('BAD_REQUEST', 'start: is after end')
  const toMs = end === undefined ? Number.MAX_SAFE_INTEGER : end * 1000 + 999
  return rooms.control.teams.of(owner.name, { fromMs: (start ?? 0) * 1000, toMs })
}

function body({ atMs, concurrent, startRate }: TeamSample) {
  const at = { timestamp: time(atMs), timestampUnix: Math.floor(atMs / 1000) }
  return { ...at, concurrentSandboxes: concurrent, sandboxStartRate: startRate }
}
