import { withoutSeal } from '../../airlock/egress-proxy.ts'
import type { SandboxRecord } from '../../sandbox/record.ts'
import { type Route, sendJson } from '../call.ts'
import { rememberedSandbox } from '../control/named.ts'
import { refuseQuery } from '../control/query.ts'
import { listedBody, time } from '../control/shapes.ts'

/** Everything known about a sandbox, even one that is gone: its owner, what it was created from, and why it ended. */
export const getCaissonSandbox: Route = {
  method: 'GET',
  path: '/caisson/v1/sandboxes/:id',
  async handle(call) {
    refuseQuery(call)
    sendJson(call.reply, 200, caissonBody(rememberedSandbox(call)))
  },
}

export function caissonBody(record: SandboxRecord) {
  const { plan, state, paused, lifecycle, traffic, contexts } = record
  return {
    ...listedBody(record),
    wall: plan.wall,
    profile: plan.profile,
    network: withoutSeal(record.request.network ?? plan.network.mode),
    limits: plan.limits,
    paused,
    lifecycle,
    traffic,
    contexts: contexts.map(({ id, language, cwd, isDefault }) => ({ id, language, cwd, isDefault })),
    lease: { owner: record.owner, endsAt: state === 'gone' ? null : time(record.endMs) },
    death: deathOf(record),
  }
}

/** The reason is one word of wire/keeper.ts, optionally followed by details. */
function deathOf({ id, reason, startedMs, goneMs, used }: SandboxRecord) {
  if (goneMs === null) return null
  const [, word = 'crash', detail = ''] = /^([a-z]+)(?:: (.*))?$/s.exec(reason ?? '') ?? []
  return {
    id,
    reason: word,
    detail,
    startedMs,
    endedMs: goneMs,
    peakMemoryBytes: used?.peakMemoryBytes ?? null,
    cpuUs: used?.cpuUs ?? null,
  }
}
