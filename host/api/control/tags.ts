import { Fault } from '@caisson/wire'
import { z } from 'zod'
import { type OwnedCall, type Route, readJson, sendJson, sendNothing } from '../call.ts'
import { buildIdOf } from './build-id.ts'
import { refuseQuery } from './query.ts'
import { time } from './shapes.ts'
import { DEFAULT_TAG, findTemplate, knownTemplate, type Named, parseReference } from './template-reference.ts'

const MAX_TAGS = 100

const List = z
  .array(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/, 'not a tag'))
  .min(1)
  .max(MAX_TAGS)
const Assignment = z.strictObject({ target: z.string().max(256), tags: List })
const Removal = z.strictObject({ name: z.string().max(256), tags: List })

/** From now on `name:TAG` also names `target`, but only for its owner. */
export const assignTags: Route = {
  method: 'POST',
  path: '/templates/tags',
  async handle(call) {
    const body = await readJson(call, Assignment)
    const named = knownTemplate(body.target, 'target', call)
    const tags = lowercase(body.tags)
    const { buildId, kept } = await standing(named, call)
    const added = tags.filter((tag) => tag !== DEFAULT_TAG)
    const room = MAX_TAGS - kept.filter(({ tag }) => !added.includes(tag)).length
    if (added.length > room) throw new Fault('BAD_REQUEST', `tags: more than ${MAX_TAGS} for one template`)
    if (added.length > 0) {
      call.rooms.control.record(call.owner.name, 'tag.assign', { template: named.name, tags: added.join(' ') })
      await call.rooms.control.tags.assign(named.name, added, call.owner, call.signal)
    }
    sendJson(call.reply, 201, { buildID: buildId, tags })
  },
}

export const removeTags: Route = {
  method: 'DELETE',
  path: '/templates/tags',
  async handle(call) {
    const body = await readJson(call, Removal)
    const tags = lowercase(body.tags)
    const named = knownTemplate(parseReference(body.name, 'name').name, 'name', call)
    if (tags.includes(DEFAULT_TAG)) throw new Fault('BAD_REQUEST', `tags: ${DEFAULT_TAG} stays with the template`)
    call.rooms.control.record(call.owner.name, 'tag.remove', { template: named.name, tags: tags.join(' ') })
    await call.rooms.control.tags.remove(named.name, tags, call.owner, call.signal)
    sendNothing(call.reply)
  },
}

export const listTags: Route = {
  method: 'GET',
  path: '/templates/:id/tags',
  async handle(call) {
    refuseQuery(call)
    const named = findTemplate(call.params['id'] ?? '', 'templateID', call)
    if (named === undefined) throw new Fault('NOT_FOUND', `no template ${JSON.stringify(call.params['id'])}`)
    const { buildId, builtMs, kept } = await standing(named, call)
    const all = [{ tag: DEFAULT_TAG, createdMs: builtMs }, ...kept]
    sendJson(
      call.reply,
      200,
      all.map(({ tag, createdMs }) => ({ tag, buildID: buildId, createdAt: time(createdMs) })),
    )
  },
}

async function standing(named: Named, { rooms, owner, signal }: OwnedCall) {
  const kept = rooms.control.tags.list(named.name, owner)
  if (named.kind === 'snapshot') return { buildId: buildIdOf(named.name), builtMs: named.snapshot.createdMs, kept }
  const template = (await rooms.control.templates.built(signal)).find(({ name }) => name === named.name)
  if (template === undefined) throw new Fault('TEMPLATE_NOT_BUILT', `template ${named.name} has not been built`)
  return { buildId: buildIdOf(template.name, template.generation), builtMs: template.builtMs, kept }
}

function lowercase(tags: readonly string[]): string[] {
  return [...new Set(tags.map((tag) => tag.toLowerCase()))]
}
