import { Fault } from '@caisson/wire'
import { z } from 'zod'
import type { Sample } from '../../sandbox/record.ts'
import { type OwnedCall, type Route, sendJson } from '../call.ts'
import { withNamed } from './named.ts'
import { readQuery, WholeNumber } from './query.ts'
import { metricBody } from './shapes.ts'

const MAX_IDS = 100

const Span = z.strictObject({ start: WholeNumber.optional(), end: WholeNumber.optional() })
const Ids = z.strictObject({
  sandbox_ids: z
    .string()
    .transform((text) => text.split(',').filter((id) => id !== ''))
    .refine((ids) => ids.length >= 1 && ids.length <= MAX_IDS, `must be 1 to ${MAX_IDS} ids`),
})

/** Metrics of one sandbox, oldest first. `start` and `end` are seconds since 1970, both inclusive. */
export const getMetrics: Route = {
  method: 'GET',
  path: '/sandboxes/:id/metrics',
  async handle(call) {
    const { start, end } = readQuery(call, Span)
    if (start !== undefined && end !== undefined && start > end) throw new Fault('BAD_REQUEST', 'start: is after end')
    const samples = await withNamed(call, ({ id }) => samplesOf(id, call, start, end))
    sendJson(call.reply, 200, samples.map(metricBody))
  },
}

/** The latest metrics of each sandbox. Missing sandboxes are skipped, because a client's list of ids is soon out of date. */
export const getManyMetrics: Route = {
  method: 'GET',
  path: '/sandboxes/metrics',
  async handle(call) {
    const { sandbox_ids: ids } = readQuery(call, Ids)
    const mine = new Set(call.rooms.fleet.list(call.owner).map(({ id }) => id))
    const asked = ids.filter((id) => mine.has(id))
    const latest = await Promise.all(asked.map(async (id) => [id, (await samplesOf(id, call)).at(-1)] as const))
    const known = latest.flatMap(([id, sample]) => (sample === undefined ? [] : [[id, metricBody(sample)] as const]))
    sendJson(call.reply, 200, { sandboxes: Object.fromEntries(known) })
  },
}

function samplesOf(id: string, { rooms, owner, signal }: OwnedCall, start = 0, end?: number): Promise<Sample[]> {
  const toMs = end === undefined ? Number.MAX_SAFE_INTEGER : end * 1000 + 999
  return rooms.fleet.samples(id, owner, { fromMs: start * 1000, toMs }, signal)
}
