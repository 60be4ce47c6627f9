import { Fault } from '@caisson/wire'
import { z } from 'zod'
import type { SnapshotRecord } from '../../sandbox/record.ts'
import { type OwnedCall, type Route, readJson, sendJson, sendNothing } from '../call.ts'
import { withNamed } from './named.ts'
import { pageOf } from './page.ts'
import { pageLimit, readQuery } from './query.ts'
import { snapshotBody } from './shapes.ts'
import { DEFAULT_TAG, findTemplate, fullName, parseReference } from './template-reference.ts'

const MAX_PAGE = 100

const Body = z.strictObject({ name: z.string().max(256).optional(), memory: z.boolean().optional() })
const Query = z.strictObject({
  sandboxID: z.string().max(64).optional(),
  name: z.string().max(256).optional(),
  limit: pageLimit(MAX_PAGE),
  nextToken: z.string().max(256).optional(),
})

/** Saves a sandbox as of one moment: its files, and its memory where its wall supports that. The sandbox keeps running. */
export const createSnapshot: Route = {
  method: 'POST',
  path: '/sandboxes/:id/snapshots',
  async handle(call) {
    const { name, memory } = await readJson(call, Body)
    const wish = { ...(name === undefined ? {} : { name: newName(name, call) }), ...(memory === undefined ? {} : { memory }) }
    const snapshot = await withNamed(call, ({ id }) => call.rooms.fleet.snapshot(id, call.owner, wish, call.signal))
    sendJson(call.reply, 201, snapshotBody(snapshot))
  },
}

/** Newest first. */
export const listSnapshots: Route = {
  method: 'GET',
  path: '/snapshots',
  async handle(call) {
    const query = readQuery(call, Query)
    const fits = query.name === undefined ? () => true : isCalled(query.name)
    const all = call.rooms.fleet.snapshots(call.owner).filter((snapshot) => (query.sandboxID ?? snapshot.sandboxId) === snapshot.sandboxId)
    const place = ({ createdMs, id }: SnapshotRecord) => ({ atMs: createdMs, id })
    const { page, headers } = pageOf(all.filter(fits), place, { ...query, order: 'desc' })
    sendJson(call.reply, 200, page.map(snapshotBody), headers)
  },
}

/** To E2B's clients, snapshots are templates. The installation's own templates cannot be deleted. */
export const deleteSnapshot: Route = {
  method: 'DELETE',
  path: '/templates/:id',
  async handle(call) {
    const named = findTemplate(call.params['id'] ?? '', 'templateID', call)
    if (named === undefined) throw new Fault('NOT_FOUND', `no snapshot ${JSON.stringify(call.params['id'])}`)
    if (named.kind === 'template')
      throw new Fault('ACCESS_DENIED', `${named.name} is a template of this installation`, { hint: 'Only snapshots can be deleted.' })
    await call.rooms.fleet.deleteSnapshot(named.name, call.owner, call.signal)
    const { tags } = call.rooms.control
    const left = tags.list(named.name, call.owner).map(({ tag }) => tag)
    if (left.length > 0) await tags.remove(named.name, left, call.owner, call.signal)
    sendNothing(call.reply)
  },
}

/** With its tag, if it has one. */
function newName(text: string, call: OwnedCall): string {
  const { name, tag } = parseReference(text, 'name')
  if (call.rooms.control.templates.named(name) === undefined) return tag === DEFAULT_TAG ? name : `${name}:${tag}`
  throw new Fault('CONFLICT', `name: ${name} is a template of this installation`, { hint: 'Choose another name.' })
}

function isCalled(text: string): (snapshot: SnapshotRecord) => boolean {
  const { name, tag } = parseReference(text, 'name')
  const hasTag = text.includes(':')
  return ({ id, names }) =>
    id === name || names.map(fullName).some((full) => (hasTag ? full === `${name}:${tag}` : full.startsWith(`${name}:`)))
}
