import { z } from 'zod'
import type { SandboxRecord } from '../../sandbox/record.ts'
import { type OwnedCall, type Route, sendJson } from '../call.ts'
import { matchesMetadata, parseMetadataFilter } from './metadata-filter.ts'
import { pageOf } from './page.ts'
import { Instant, pageLimit, readQuery } from './query.ts'
import { listedBody } from './shapes.ts'
import { findTemplate } from './template-reference.ts'

const MAX_PAGE = 100

const metadata = z.string().max(65_536).transform(parseMetadataFilter).optional()
const State = z.enum(['running', 'paused'])

const Query = z.strictObject({
  metadata,
  state: z
    .string()
    .transform((text) => text.split(',').filter((state) => state !== ''))
    .pipe(z.array(State))
    .optional(),
  order: z.enum(['asc', 'desc']).default('desc'),
  startedAfter: Instant.optional(),
  template: z.string().max(256).optional(),
  limit: pageLimit(MAX_PAGE),
  nextToken: z.string().max(256).optional(),
})
type Query = z.infer<typeof Query>

/** All running sandboxes. */
export const listRunning: Route = {
  method: 'GET',
  path: '/sandboxes',
  async handle(call) {
    const query = readQuery(call, z.strictObject({ metadata }))
    const { page } = pageOf(running(call.rooms.fleet.list(call.owner)), place, { order: 'desc', limit: Number.POSITIVE_INFINITY })
    sendJson(call.reply, 200, page.filter((record) => matchesMetadata(record.metadata, query.metadata ?? [])).map(listedBody))
  },
}

export const listSandboxes: Route = {
  method: 'GET',
  path: '/v2/sandboxes',
  async handle(call) {
    const query = readQuery(call, Query)
    const all = call.rooms.fleet.list(call.owner).filter(chosen(query, call))
    const states = new Set<string>(query.state?.length ? query.state : State.options)
    const { page, headers } = pageOf(
      all.filter(({ state }) => states.has(state)),
      place,
      query,
    )
    sendJson(call.reply, 200, page.map(listedBody), { ...headers, 'x-total-running': String(running(all).length) })
  },
}

function chosen(query: Query, call: OwnedCall): (record: SandboxRecord) => boolean {
  const template = query.template === undefined ? undefined : (findTemplate(query.template, 'template', call)?.name ?? null)
  return (record) =>
    matchesMetadata(record.metadata, query.metadata ?? []) &&
    (query.startedAfter === undefined || record.startedMs >= query.startedAfter) &&
    (template === undefined || record.templateId === template || record.templateId === query.template)
}

function running(records: readonly SandboxRecord[]): SandboxRecord[] {
  return records.filter(({ state }) => state === 'running')
}

function place({ startedMs, id }: SandboxRecord) {
  return { atMs: startedMs, id }
}
