import { expect, test } from 'vitest'
import { NO_QUOTAS } from './record.ts'
import { SnapshotRoom } from './snapshot-room.ts'

const MIB = 1024 * 1024
const NONE = { count: 0, bytes: 0 }
const owner = (snapshots: number | null, snapshotMiB: number | null) => ({
  name: 'alice',
  quotas: { ...NO_QUOTAS, snapshots, snapshotMiB },
})
/** Clients that are told when to ask again do so; no waiting helps here. */
const exceeded = (message: string) => expect.objectContaining({ code: 'QUOTA_EXCEEDED', message, retryAfterS: undefined })

test('those that are kept and those that are being taken count, until they are let go', () => {
  const room = new SnapshotRoom({ count: null, bytes: null })
  const two = owner(2, null)
  const claimed = room.claim(two, { count: 1, bytes: 0 }, 1)
  expect(() => room.claim(two, { count: 1, bytes: 0 }, 1)).toThrow(exceeded('alice may keep 2 snapshots'))
  claimed[Symbol.dispose]()
  room.claim(two, { count: 1, bytes: 0 }, 1)[Symbol.dispose]()
  expect(() => room.claim(two, { count: 2, bytes: 0 }, 1)).toThrow(exceeded('alice may keep 2 snapshots'))
})

test('so do their bytes, by all that one may come to take', () => {
  const room = new SnapshotRoom({ count: null, bytes: null })
  const ten = owner(null, 10)
  const claimed = room.claim(ten, { count: 1, bytes: 4 * MIB }, 5 * MIB)
  expect(() => room.claim(ten, { count: 1, bytes: 4 * MIB }, 2 * MIB)).toThrow(
    exceeded('alice may keep 10 MiB in snapshots: 9 MiB are taken, and this one may take 2 MiB'),
  )
  room.claim(ten, { count: 1, bytes: 4 * MIB }, MIB)[Symbol.dispose]()
  room.claim({ ...ten, name: 'bob' }, NONE, 10 * MIB)
  claimed[Symbol.dispose]()
  room.claim(ten, { count: 1, bytes: 4 * MIB }, 6 * MIB)
})

test('a key that says nothing of it has what the operator says for everybody, and one that says none has none', () => {
  const room = new SnapshotRoom({ count: 1, bytes: 10 * MIB })
  expect(room.most(owner(null, null))).toEqual({ count: 1, bytes: 10 * MIB })
  expect(room.most(owner(5, 20))).toEqual({ count: 5, bytes: 20 * MIB })
  expect(() => room.claim(owner(null, null), { count: 1, bytes: 0 }, 0)).toThrow(exceeded('alice may keep 1 snapshots'))
  expect(() => room.claim(owner(0, null), NONE, 0)).toThrow(exceeded('alice may keep 0 snapshots'))
  expect(() => room.claim(owner(null, 0), NONE, MIB)).toThrow(
    exceeded('alice may keep 0 MiB in snapshots: 0 MiB are taken, and this one may take 1 MiB'),
  )
})
