import { Fault } from '@caisson/wire'
import type { SnapshotRecord } from '../../sandbox/record.ts'
import type { OwnedCall } from '../call.ts'

export const DEFAULT_TAG = 'default'
const NAME = /^[a-z0-9][a-z0-9_./-]{0,127}$/

/** What a reference names: a template of the installation, or a snapshot of the caller. `name` is the same for all users. */
export type Named =
  | { readonly kind: 'template'; readonly name: string }
  | { readonly kind: 'snapshot'; readonly name: string; readonly snapshot: SnapshotRecord }

/** `name` or `name:tag`, case-insensitive. Throws BAD_REQUEST for anything else. */
export function parseReference(reference: string, field: string): { name: string; tag: string } {
  const [name = '', tag = DEFAULT_TAG, ...rest] = reference.toLowerCase().split(':')
  if (NAME.test(name) && NAME.test(tag) && rest.length === 0) return { name, tag }
  throw new Fault('BAD_REQUEST', `${field}: ${JSON.stringify(reference)} is not a template: name, or name:tag`)
}

/** Searches the caller's own and the installation's; undefined if there is none. Throws BAD_REQUEST. */
export function findTemplate(reference: string, field: string, call: Pick<OwnedCall, 'rooms' | 'owner'>): Named | undefined {
  const { name, tag } = parseReference(reference, field)
  const template = call.rooms.control.templates.named(name)
  if (template !== undefined) return isTagged(template, tag, call) ? { kind: 'template', name: template } : undefined
  const snapshots = call.rooms.fleet.snapshots(call.owner).sort((one, other) => other.createdMs - one.createdMs)
  const isMeant = ({ id, names }: SnapshotRecord) =>
    names.some((known) => fullName(known) === `${name}:${tag}`) || ((id === name || names.includes(name)) && isTagged(id, tag, call))
  const snapshot = snapshots.find(isMeant)
  return snapshot === undefined ? undefined : { kind: 'snapshot', name: snapshot.id, snapshot }
}

/** Throws TEMPLATE_UNKNOWN. */
export function knownTemplate(reference: string, field: string, call: Pick<OwnedCall, 'rooms' | 'owner'>): Named {
  const found = findTemplate(reference, field, call)
  if (found !== undefined) return found
  throw new Fault('TEMPLATE_UNKNOWN', `${field}: no template ${JSON.stringify(reference)}`, {
    hint: 'GET /templates lists the templates, GET /snapshots your snapshots.',
  })
}

/** Names of snapshots are always reported with a tag. */
export function fullName(name: string): string {
  return name.includes(':') ? name : `${name}:${DEFAULT_TAG}`
}

function isTagged(template: string, tag: string, { rooms, owner }: Pick<OwnedCall, 'rooms' | 'owner'>): boolean {
  return tag === DEFAULT_TAG || rooms.control.tags.list(template, owner).some((known) => known.tag === tag)
}
