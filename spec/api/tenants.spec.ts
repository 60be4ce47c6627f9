import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as caisson from '../../host/api/caisson/shelf.ts'
import type { Route } from '../../host/api/call.ts'
import * as control from '../../host/api/control/shelf.ts'
import { type Answer, ControlClient } from './control-client.ts'
import { SpecDaemon } from './daemon.ts'

/** What a route wants before it looks at whose sandbox it is. */
const BODIES: Record<string, object> = {
  '/sandboxes/:id/timeout': { timeout: 1 },
  '/sandboxes/:id/connect': { timeout: 3600 },
  '/caisson/v1/sandboxes/:id/attributes': { path: '/tmp', attributes: {} },
}

const routes: Route[] = [...Object.values(control), ...Object.values(caisson)]
const ofSandboxes = routes.filter(({ path }) => path.includes('/sandboxes/:id')).map(({ method, path }) => [method, path] as const)

let daemon: SpecDaemon
let operator: ControlClient
let alice: ControlClient
let bob: ControlClient
let id: string
beforeAll(async () => {
  daemon = await SpecDaemon.open()
  operator = new ControlClient(daemon.url, daemon.key)
  const keyOf = async (owner: string) => (await operator.ask('POST', '/caisson/v1/keys', { owner })).body.key
  alice = new ControlClient(daemon.url, await keyOf('alice'))
  bob = new ControlClient(daemon.url, await keyOf('bob'))
  id = (await alice.ask('POST', '/v2/sandboxes', { templateID: 'base', timeout: 600, metadata: { whose: 'alice' } })).body.sandboxID
})
afterAll(async () => {
  await alice.ask('DELETE', `/sandboxes/${id}`)
  await daemon[Symbol.asyncDispose]()
})

const bodyOf = (method: string, path: string) => (method === 'GET' || method === 'DELETE' ? undefined : (BODIES[path] ?? {}))

describe.each(ofSandboxes)('%s %s', (method, path) => {
  test.each(['bob', 'operator'])('of another owner’s sandbox is 404 to %s, as of one that never was', async (who) => {
    const client = who === 'bob' ? bob : operator
    const ask = (sandbox: string) => client.ask(method, path.replace(':id', sandbox), bodyOf(method, path))
    const [foreign, unknown] = [await ask(id), await ask('iaaaaaaaaaaaaaaaaaaa')]
    expect(foreign).toMatchObject({ status: 404, body: { code: 404, error_code: 'not_found' } })
    expect(JSON.stringify(unknown.body).replaceAll('iaaaaaaaaaaaaaaaaaaa', id)).toBe(JSON.stringify(foreign.body))
  })

  test('without a key, or with one that is not known, is 401', async () => {
    for (const key of ['', 'e2b_0000000000000000000000000000000000000000', 'nonsense']) {
      const nobody = new ControlClient(daemon.url, key)
      const answer = await nobody.ask(method, path.replace(':id', id), bodyOf(method, path))
      expect(answer).toMatchObject({ status: 401, body: { code: 401, error_code: 'unauthenticated' } })
    }
  })
})

test('and after all that it lives as before', async () => {
  const { status, body } = await alice.ask('GET', `/sandboxes/${id}`)
  expect(status).toBe(200)
  expect(body).toMatchObject({ state: 'running', metadata: { whose: 'alice' } })
  expect(Date.parse(body.endAt) - Date.parse(body.startedAt)).toBe(600_000)
})

test('lists, metrics of many, events and teams hold nothing of another’s', async () => {
  const told = bob.lines('/caisson/v1/events')
  await told.next()
  for (const client of [bob, operator]) {
    expect((await client.ask('GET', '/v2/sandboxes?metadata=whose%3Dalice')).body).toEqual([])
    expect((await client.ask('GET', '/sandboxes')).body).toEqual([])
    expect((await client.ask('GET', `/sandboxes/metrics?sandbox_ids=${id}`)).body).toEqual({ sandboxes: {} })
    expect(await client.ask('GET', '/teams/alice/metrics')).toMatchObject({ status: 404 })
  }
  await alice.ask('POST', `/sandboxes/${id}/timeout`, { timeout: 600 })
  const own = (await bob.ask('POST', '/v2/sandboxes', { templateID: 'base', timeout: 60 })).body.sandboxID
  expect(await told.next()).toMatchObject({ value: { kind: 'created', sandboxID: own } })
  await told.return()
  await bob.ask('DELETE', `/sandboxes/${own}`)
  expect((await alice.ask('GET', '/v2/sandboxes')).body).toMatchObject([{ sandboxID: id }])
})

test('a key that is revoked opens nothing from then on, and its owner’s other key does', async () => {
  const make = async () => (await operator.ask('POST', '/caisson/v1/keys', { owner: 'alice' })).body
  const [one, other] = [await make(), await make()]
  const get = (key: string) => new ControlClient(daemon.url, key).ask('GET', `/sandboxes/${id}`)
  expect(await get(one.key)).toMatchObject({ status: 200 })
  expect(await operator.ask('DELETE', `/caisson/v1/keys/${one.id}`)).toMatchObject({ status: 204 })
  expect(await get(one.key)).toMatchObject({ status: 401 })
  expect(await get(other.key)).toMatchObject({ status: 200 })
})

test('quotas of a key hold for its owner', async () => {
  const quotas = { sandboxes: 1 }
  const { key } = (await operator.ask('POST', '/caisson/v1/keys', { owner: 'carol', quotas })).body
  const carol = new ControlClient(daemon.url, key)
  const create = () => carol.ask('POST', '/v2/sandboxes', { templateID: 'base', timeout: 60 })
  // At once: what is being made counts, too.
  const [first, second] = (await Promise.all([create(), create()])).sort((one, other) => one.status - other.status) as [Answer, Answer]
  expect(first.status).toBe(201)
  expect(second).toMatchObject({ status: 429, body: { code: 429, error_code: 'quota_exceeded' } })
  expect(second.headers.get('retry-after')).toBe('2')
  await carol.ask('DELETE', `/sandboxes/${first.body.sandboxID}`)
  const third = await create()
  expect(third.status).toBe(201)
  await carol.ask('DELETE', `/sandboxes/${third.body.sandboxID}`)
})

test('so do those of its snapshots: their number, and what they take of the disk', async () => {
  const keyWith = async (quotas: object) => (await operator.ask('POST', '/caisson/v1/keys', { owner: 'dave', quotas })).body
  const [few, small] = [await keyWith({ snapshots: 1 }), await keyWith({ snapshotMiB: 0 })]
  const dave = new ControlClient(daemon.url, few.key)
  const { sandboxID } = (await dave.ask('POST', '/v2/sandboxes', { templateID: 'base', timeout: 120 })).body
  const take = (client = dave) => client.ask('POST', `/sandboxes/${sandboxID}/snapshots`, {})
  const [first, second] = (await Promise.all([take(), take()])).sort((one, other) => one.status - other.status) as [Answer, Answer]
  expect(first.status).toBe(201)
  expect(second).toMatchObject({
    status: 429,
    body: { code: 429, error_code: 'quota_exceeded', message: expect.stringContaining('1 snapshots') },
  })
  // Waiting makes no room, and clients that are told to wait do.
  expect(second.headers.get('retry-after')).toBe(null)
  expect(second.headers.get('should-retry')).toBe('false')
  const folder = join(daemon.home, 'snapshots')
  expect(await readdir(folder)).toEqual([`${first.body.snapshotID.split(':')[0]}.img`])
  const listed = (await operator.ask('GET', '/caisson/v1/keys')).body
  const { snapshots } = listed.find(({ id }: { id: string }) => id === few.id)
  expect(snapshots).toEqual({ count: 1, mostCount: 1, bytes: expect.any(Number), mostBytes: expect.any(Number) })
  // A file system of some size, most of it holes.
  expect(snapshots.bytes).toBeGreaterThan(0)
  expect(snapshots.bytes).toBeLessThan(64 * 1024 * 1024)
  const page = await (await fetch(`${daemon.url}/metrics`, { headers: { 'X-API-Key': daemon.key } })).text()
  expect(page).toContain('caisson_snapshots{what="count"} 1\n')
  expect(page).toContain(`caisson_snapshots{what="bytes"} ${snapshots.bytes}\n`)
  expect(await dave.ask('DELETE', `/templates/${encodeURIComponent(first.body.snapshotID)}`)).toMatchObject({ status: 204 })
  expect(await take(new ControlClient(daemon.url, small.key))).toMatchObject({
    status: 429,
    body: { message: expect.stringContaining('0 MiB in snapshots') },
  })
  expect(await readdir(folder)).toEqual([])
  const again = await take()
  expect(again.status).toBe(201)
  await dave.ask('DELETE', `/templates/${encodeURIComponent(again.body.snapshotID)}`)
  await dave.ask('DELETE', `/sandboxes/${sandboxID}`)
})

test('nobody gets around a quota by asking for no limit, or by workspaces', async () => {
  const quotas = { memoryMiB: 4096, cpus: 8, diskMiB: 2000 }
  const { key } = (await operator.ask('POST', '/caisson/v1/keys', { owner: 'dora', quotas })).body
  const dora = new ControlClient(daemon.url, key)
  const create = (more: object) =>
    dora.ask('POST', '/caisson/v1/sandboxes', { template: 'base', timeoutMs: 60_000, memoryMiB: 256, ...more })
  for (const more of [{ memoryMiB: null }, { cpus: null }, { diskMiB: 1_000_000 }]) {
    expect(await create(more)).toMatchObject({ status: 429, body: { error_code: 'quota_exceeded' } })
  }
  const { sandboxID } = (await create({ diskMiB: 1000 })).body
  const kept = (await create({ profile: 'workspace', diskMiB: 900 })).body.sandboxID
  await dora.ask('DELETE', `/sandboxes/${kept}`)
  // The workspace stays, also where its sandbox has gone.
  expect(await create({ diskMiB: 200 })).toMatchObject({ status: 429, body: { message: expect.stringContaining('2000 MiB of disks') } })
  const again = await create({ profile: 'workspace' })
  expect(again).toMatchObject({ status: 201 })
  for (const id of [again.body.sandboxID, sandboxID]) await dora.ask('DELETE', `/sandboxes/${id}`)
})
