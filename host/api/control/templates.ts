import { ENVD_VERSION, Fault } from '@caisson/wire'
import { z } from 'zod'
import type { Profile } from '../../sandbox/profile.ts'
import type { KnownTemplate } from '../../templates/known.ts'
import { type OwnedCall, type Route, sendJson } from '../call.ts'
import { buildIdOf } from './build-id.ts'
import { E2B_PROFILE } from './create.ts'
import { pageOf } from './page.ts'
import { pageLimit, readQuery, refuseQuery } from './query.ts'
import { sizes, time } from './shapes.ts'
import { findTemplate, parseReference } from './template-reference.ts'

const MAX_PAGE = 100
const MIB = 1024 * 1024

const paging = { nextToken: z.string().max(256).optional(), limit: pageLimit(MAX_PAGE) }
const team = z.string().max(256).optional()

/** The installation's templates. */
export const listTemplates: Route = {
  method: 'GET',
  path: '/templates',
  async handle(call) {
    const { teamID } = readQuery(call, z.strictObject({ teamID: team }))
    sendJson(call.reply, 200, isMine(teamID, call) ? await allTemplates(call) : [])
  },
}

export const listTemplatesV2: Route = {
  method: 'GET',
  path: '/v2/templates',
  async handle(call) {
    const { teamID, ...wish } = readQuery(call, z.strictObject({ teamID: team, ...paging }))
    const all = isMine(teamID, call) ? await allTemplates(call) : []
    const place = (template: { createdAt: string; templateID: string }) => ({
      atMs: Date.parse(template.createdAt),
      id: template.templateID,
    })
    const { page, headers } = pageOf(all, place, { ...wish, order: 'desc' })
    sendJson(call.reply, 200, page, headers)
  },
}

/** A template with its single build. */
export const getTemplate: Route = {
  method: 'GET',
  path: '/templates/:id',
  async handle(call) {
    readQuery(call, z.strictObject(paging))
    const { name } = parseReference(call.params['id'] ?? '', 'templateID')
    const wanted = call.rooms.control.templates.named(name)
    const found = (await allTemplates(call)).find(({ templateID }) => templateID === wanted)
    if (found === undefined) throw new Fault('NOT_FOUND', `no template ${JSON.stringify(call.params['id'])}`)
    const { buildID, createdAt, updatedAt, cpuCount, memoryMB, diskSizeMB, envdVersion } = found
    const build = { buildID, status: 'ready', createdAt, updatedAt, finishedAt: updatedAt, cpuCount, memoryMB, diskSizeMB, envdVersion }
    sendJson(call.reply, 200, { ...found, builds: [build] })
  },
}

/** Whether a template of that name exists. */
export const getTemplateAlias: Route = {
  method: 'GET',
  path: '/templates/aliases/:alias',
  async handle(call) {
    refuseQuery(call)
    const named = findTemplate(call.params['alias'] ?? '', 'alias', call)
    if (named === undefined) throw new Fault('NOT_FOUND', `no template ${JSON.stringify(call.params['alias'])}`)
    sendJson(call.reply, 200, { templateID: named.name, public: named.kind === 'template' })
  },
}

async function allTemplates({ rooms, signal }: OwnedCall) {
  const profile = (await rooms.control.profiles(signal)).find(({ name }) => name === E2B_PROFILE)
  if (profile === undefined) throw new Fault('INTERNAL', `there is no profile ${E2B_PROFILE}`)
  return (await rooms.control.templates.built(signal)).map((template) => templateBody(template, profile))
}

/** Usage is not counted. Clients require the fields, and also see zero for a platform's own templates. */
function templateBody({ name, aliases, generation, builtMs }: KnownTemplate, { limits }: Profile) {
  const { cpus, memoryMiB, diskMiB } = limits
  const cpuMilli = cpus === null ? null : cpus * 1000
  const memoryBytes = memoryMiB === null ? null : memoryMiB * MIB
  return {
    templateID: name,
    buildID: buildIdOf(name, generation),
    ...sizes({ cpuMilli, memoryBytes }, diskMiB * MIB),
    public: true,
    isDefault: true,
    aliases: [name, ...aliases],
    names: [name, ...aliases],
    createdAt: time(builtMs),
    updatedAt: time(builtMs),
    createdBy: null,
    lastSpawnedAt: null,
    spawnCount: 0,
    buildCount: 1,
    envdVersion: ENVD_VERSION,
    buildStatus: 'ready',
  }
}

function isMine(teamId: string | undefined, { owner }: OwnedCall): boolean {
  return teamId === undefined || teamId === owner.name
}
