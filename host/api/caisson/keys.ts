import { Fault, WALLS } from '@caisson/wire'
import { z } from 'zod'
import { type OwnedCall, readJson, sendJson, sendNothing } from '../call.ts'
import { refuseQuery } from '../control/query.ts'
import { time } from '../control/shapes.ts'
import type { KeyRecord } from '../keys.ts'
import { forOperators } from './operator.ts'

const Most = z.number().min(0).max(1_000_000_000).nullable().default(null)

const Body = z.strictObject({
  owner: z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,63}$/, 'not a name of an owner (a-z, 0-9, dot, _ and -)'),
  operator: z.boolean().default(false),
  quotas: z
    .strictObject({
      sandboxes: Most,
      createsPerSecond: Most,
      cpus: Most,
      memoryMiB: Most,
      diskMiB: Most,
      snapshots: Most,
      snapshotMiB: Most,
    })
    .prefault({}),
  leastWall: z.enum(WALLS).default(WALLS[0]),
})

export const listKeys = forOperators({
  method: 'GET',
  path: '/caisson/v1/keys',
  async handle(call) {
    refuseQuery(call)
    sendJson(
      call.reply,
      200,
      call.rooms.control.keys.list().map((key) => ({ ...keyBody(key), snapshots: roomBody(key, call) })),
    )
  },
})

/** The key appears only in this answer. */
export const createKey = forOperators({
  method: 'POST',
  path: '/caisson/v1/keys',
  async handle(call) {
    const wish = await readJson(call, Body)
    call.rooms.control.record(call.owner.name, 'key.create', { owner: wish.owner, operator: wish.operator, leastWall: wish.leastWall })
    const { record, key } = await call.rooms.control.keys.create(wish, call.signal)
    sendJson(call.reply, 201, { ...keyBody(record), key }, { 'cache-control': 'no-store' })
  },
})

export const revokeKey = forOperators({
  method: 'DELETE',
  path: '/caisson/v1/keys/:id',
  async handle(call) {
    const id = call.params['id'] ?? ''
    if (id === call.owner.keyId) throw new Fault('CONFLICT', 'this is the key that asks', { hint: 'Revoke it with another operator’s.' })
    call.rooms.control.record(call.owner.name, 'key.revoke', { id: id.slice(0, 64) })
    await call.rooms.control.keys.revoke(id, call.signal)
    sendNothing(call.reply)
  },
})

/** Usage of the key's owner, shared by all keys of that owner. */
function roomBody({ owner, quotas }: KeyRecord, { rooms }: OwnedCall) {
  const { used, most } = rooms.control.snapshotRoom({ name: owner, quotas })
  return { count: used.count, mostCount: most.count, bytes: used.bytes, mostBytes: most.bytes }
}

function keyBody({ id, owner, operator, quotas, leastWall, createdMs }: KeyRecord) {
  return { id, owner, operator, quotas, leastWall, createdAt: time(createdMs) }
}
