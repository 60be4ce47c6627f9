import { Fault } from '@caisson/wire'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ControlClient } from './control-client.ts'
import { ControlServer } from './control-server.ts'

const server = new ControlServer()
let alice: ControlClient
let bob: ControlClient
beforeAll(async () => {
  const url = await server.listen()
  alice = new ControlClient(url, server.keys.add('alice'))
  bob = new ControlClient(url, server.keys.add('bob'))
})
afterAll(() => server[Symbol.asyncDispose]())

let id: string
beforeEach(async () => {
  server.fleet.records.clear()
  server.fleet.taken.length = 0
  server.fleet.measured.length = 0
  id = (await alice.ask('POST', '/v2/sandboxes', { templateID: 'base' })).body.sandboxID
})

describe('pause and resume', () => {
  test('with its memory, or from its files; twice is a conflict; connect says 201 when it resumed', async () => {
    expect(await alice.ask('POST', `/sandboxes/${id}/pause`, {})).toMatchObject({ status: 204, body: undefined })
    expect((await alice.ask('GET', `/sandboxes/${id}`)).body).toMatchObject({ state: 'paused', pauseMode: 'full' })
    expect(await alice.ask('POST', `/sandboxes/${id}/pause`, {})).toMatchObject({ status: 409, body: { code: 409 } })
    expect(await alice.ask('POST', `/v2/sandboxes/${id}/connect`, {})).toMatchObject({ status: 201 })
    await alice.ask('POST', `/sandboxes/${id}/pause`, { memory: false })
    expect((await alice.ask('GET', `/sandboxes/${id}`)).body).toMatchObject({ state: 'paused', pauseMode: 'filesystem' })
    expect(await alice.ask('POST', `/sandboxes/${id}/refreshes`, { duration: 3600 })).toMatchObject({ status: 409 })
    expect(await alice.ask('POST', `/sandboxes/${id}/resume`, { autoPause: true })).toMatchObject({ status: 501 })
    expect(await alice.ask('POST', `/sandboxes/${id}/resume`, { timeout: 9, autoPause: false })).toMatchObject({ status: 201 })
    expect(await alice.ask('POST', `/sandboxes/${id}/resume`, {})).toMatchObject({ status: 409 })
    expect((await alice.ask('GET', `/sandboxes/${id}`)).body).not.toHaveProperty('pauseMode')
  })
})

describe('metrics', () => {
  const sample = (atMs: number) => ({
    atMs,
    cpus: 1.5,
    cpuUsedPct: 12.5,
    memoryUsedBytes: 1,
    memoryTotalBytes: 2,
    memoryCacheBytes: 5,
    diskUsedBytes: 3,
    diskTotalBytes: 4,
  })

  test('with every field that clients require, within the span that was asked for', async () => {
    server.fleet.measured.push(sample(10_500), sample(20_500), sample(30_500))
    const { status, body } = await alice.ask('GET', `/sandboxes/${id}/metrics?start=20&end=20`)
    expect(status).toBe(200)
    expect(body).toEqual([
      {
        timestamp: '1970-01-01T00:00:20.500Z',
        timestampUnix: 20,
        cpuCount: 2,
        cpuUsedPct: 12.5,
        memUsed: 1,
        memTotal: 2,
        memCache: 5,
        diskUsed: 3,
        diskTotal: 4,
      },
    ])
    expect((await alice.ask('GET', `/sandboxes/${id}/metrics`)).body).toHaveLength(3)
    expect((await alice.ask('GET', `/sandboxes/${id}/metrics?end=5`)).body).toEqual([])
    expect(await alice.ask('GET', `/sandboxes/${id}/metrics?start=9&end=5`)).toMatchObject({ status: 400 })
  })

  test('of many at once: the latest of those that are the caller’s', async () => {
    server.fleet.measured.push(sample(10_000), sample(20_000))
    const { body } = await alice.ask('GET', `/sandboxes/metrics?sandbox_ids=${id},inobody`)
    expect(body).toEqual({ sandboxes: { [id]: expect.objectContaining({ timestampUnix: 20 }) } })
    expect((await bob.ask('GET', `/sandboxes/metrics?sandbox_ids=${id}`)).body).toEqual({ sandboxes: {} })
    expect(await alice.ask('GET', '/sandboxes/metrics')).toMatchObject({ status: 400 })
    const many = Array.from({ length: 101 }, (_, index) => `i${index}`).join(',')
    expect(await alice.ask('GET', `/sandboxes/metrics?sandbox_ids=${many}`)).toMatchObject({ status: 400 })
  })
})

describe('snapshots', () => {
  const take = async (body: object = {}) => (await alice.ask('POST', `/sandboxes/${id}/snapshots`, body)).body

  test('are named, listed, created from, and deleted once', async () => {
    const named = await alice.ask('POST', `/sandboxes/${id}/snapshots`, { name: 'My-Snap' })
    expect(named).toMatchObject({ status: 201, body: { snapshotID: expect.stringMatching(/^s\w+:default$/), names: ['my-snap:default'] } })
    const { snapshotID } = await take()
    const list = (query: string) => alice.ask('GET', `/snapshots?${query}`)
    expect((await list('')).body).toHaveLength(2)
    expect((await list('name=my-snap')).body).toEqual([named.body])
    expect((await list('name=my-snap:default')).body).toEqual([named.body])
    expect((await list('name=other')).body).toEqual([])
    expect((await list(`sandboxID=${id}`)).body).toHaveLength(2)
    expect((await list('sandboxID=inobody')).body).toEqual([])
    const made = await alice.ask('POST', '/v2/sandboxes', { templateID: snapshotID })
    expect(made.status).toBe(201)
    const { templateID } = (await alice.ask('GET', `/sandboxes/${made.body.sandboxID}`)).body
    expect((await alice.ask('GET', `/v2/sandboxes?template=${templateID}`)).body).toMatchObject([{ sandboxID: made.body.sandboxID }])
    expect(await alice.ask('POST', '/v2/sandboxes', { templateID: 'my-snap' })).toMatchObject({ status: 201 })
    expect(await bob.ask('POST', '/v2/sandboxes', { templateID: snapshotID })).toMatchObject({ status: 404 })
    const gone = () => alice.ask('DELETE', `/templates/${encodeURIComponent(snapshotID)}`)
    expect(await bob.ask('DELETE', `/templates/${encodeURIComponent(snapshotID)}`)).toMatchObject({ status: 404 })
    expect(await gone()).toMatchObject({ status: 204 })
    expect(await gone()).toMatchObject({ status: 404, body: { code: 404 } })
    expect(await alice.ask('DELETE', '/templates/base')).toMatchObject({ status: 403 })
  })

  test('of one name with several tags', async () => {
    const first = await take({ name: 'app:v1' })
    const second = await take({ name: 'app:v2' })
    expect(first.names).toEqual(['app:v1'])
    expect((await alice.ask('GET', '/snapshots?name=app')).body).toHaveLength(2)
    expect((await alice.ask('GET', '/snapshots?name=app:v2')).body).toEqual([second])
    const made = await alice.ask('POST', '/v2/sandboxes', { templateID: 'app:v1' })
    expect(`${made.body.templateID}:default`).toBe(first.snapshotID)
    expect(await alice.ask('POST', '/v2/sandboxes', { templateID: 'app' })).toMatchObject({ status: 404 })
  })

  test('come in pages', async () => {
    const all = [await take(), await take(), await take()].map(({ snapshotID }) => snapshotID)
    const seen: string[] = []
    for (let token = '', pages = 0; pages < 3; pages += 1) {
      const { body, headers } = await alice.ask('GET', `/snapshots?limit=1&nextToken=${token}`)
      seen.push(...body.map(({ snapshotID }: { snapshotID: string }) => snapshotID))
      token = headers.get('x-next-token') ?? ''
      expect(token === '').toBe(pages === 2)
    }
    expect([...seen].sort()).toEqual([...all].sort())
  })

  test.each([
    [{ memory: true }, 501, 'memory'],
    [{ name: 'base' }, 409, 'base'],
    [{ name: ':x' }, 400, 'name'],
    [{ name: 'a b' }, 400, 'name'],
    [{ names: ['a'] }, 400, 'names'],
  ])('%j is refused with %i', async (body, status, naming) => {
    const answer = await alice.ask('POST', `/sandboxes/${id}/snapshots`, body)
    expect(answer).toMatchObject({ status, body: { code: status, message: expect.stringContaining(naming) } })
  })
})

test('a fork answers for each on its own', async () => {
  server.fleet.forkFailure = new Fault('OVERLOADED', 'no room for another')
  const { status, body } = await alice.ask('POST', `/sandboxes/${id}/fork`, { count: 3 })
  server.fleet.forkFailure = undefined
  expect(status).toBe(201)
  expect(body).toHaveLength(3)
  expect(body.slice(0, 2)).toMatchObject([{ sandbox: { envdAccessToken: 'an access token' } }, { sandbox: { templateID: 'base' } }])
  expect(body[2]).toMatchObject({ error: { code: 503, message: expect.stringContaining('no room') } })
  for (const count of [0, 101, 1.5]) expect(await alice.ask('POST', `/sandboxes/${id}/fork`, { count })).toMatchObject({ status: 400 })
})

describe('network', () => {
  test.each([
    [{}, 204],
    [{ denyOut: ['0.0.0.0/0'] }, 204],
    [{ allow_internet_access: true, allowOut: [], rules: {}, egressProxy: null }, 204],
    [{ denyOut: ['example.com'] }, 400],
    [{ allowPublicTraffic: true }, 400],
    [{ allowOut: ['1.1.1.1'] }, 204],
    [{ allowOut: ['example.com'] }, 400],
    [{ egressProxy: { address: 'proxy.example:1080', password: 'x' } }, 400],
  ])('PUT %j is answered with %i', async (body, status) => {
    expect(await alice.ask('PUT', `/sandboxes/${id}/network`, body)).toMatchObject({ status })
  })

  test('the password of a proxy is sealed before it goes anywhere, and told to nobody', async () => {
    const proxy = { address: 'proxy.example:1080', username: 'me' }
    await alice.ask('PUT', `/sandboxes/${id}/network`, { egressProxy: { ...proxy, password: 'tr4velling' } })
    const record = server.fleet.records.get(id)
    expect(record?.request.network).toMatchObject({ proxy: { ...proxy, sealed: 'sealed:10' } })
    const told = [await alice.ask('GET', `/sandboxes/${id}`), await alice.ask('GET', `/caisson/v1/sandboxes/${id}`)]
    expect(told.map(({ body }) => body.network.egressProxy ?? body.network.proxy)).toEqual([proxy, proxy])
    expect(JSON.stringify([record, told])).not.toContain('tr4velling')
  })

  test('what holds is told in the words that it was asked for in, whole, and nothing else', async () => {
    const told = async () => (await alice.ask('GET', `/sandboxes/${id}`)).body
    const asked = { allow_internet_access: false, allowOut: ['1.1.1.0/24'] }
    expect(await alice.ask('PUT', `/sandboxes/${id}/network`, asked)).toMatchObject({ status: 204 })
    expect(await told()).toMatchObject({ allowInternetAccess: false, network: { allowOut: ['1.1.1.0/24'], denyOut: [] } })
    expect(server.fleet.records.get(id)?.request.network).toEqual({
      mode: 'allow',
      first: 'allow',
      allow: ['1.1.1.0/24'],
      deny: ['0.0.0.0/0'],
    })
    expect(await alice.ask('PUT', `/sandboxes/${id}/network`, {})).toMatchObject({ status: 204 })
    expect(await told()).toMatchObject({ allowInternetAccess: true, network: { allowOut: [], denyOut: [], allowPublicTraffic: true } })
    expect(server.fleet.records.get(id)?.request.network).toEqual({ mode: 'open', first: 'allow', allow: [], deny: [] })
  })
})

describe('templates', () => {
  test('are listed with every field that clients require', async () => {
    const { body } = await alice.ask('GET', '/templates')
    expect(body).toHaveLength(2)
    expect(body[1]).toEqual({
      templateID: 'code-interpreter',
      buildID: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
      cpuCount: 2,
      memoryMB: 512,
      diskSizeMB: 1024,
      public: true,
      isDefault: true,
      aliases: ['code-interpreter', 'code-interpreter-v1'],
      names: ['code-interpreter', 'code-interpreter-v1'],
      createdAt: '1970-01-01T00:00:02.000Z',
      updatedAt: '1970-01-01T00:00:02.000Z',
      createdBy: null,
      lastSpawnedAt: null,
      spawnCount: 0,
      buildCount: 1,
      envdVersion: expect.any(String),
      buildStatus: 'ready',
    })
    const first = await alice.ask('GET', '/v2/templates?limit=1')
    const second = await alice.ask('GET', `/v2/templates?limit=1&nextToken=${first.headers.get('x-next-token')}`)
    expect([first.body[0].templateID, second.body[0].templateID]).toEqual(['code-interpreter', 'base'])
    expect(second.headers.get('x-next-token')).toBeNull()
    expect((await alice.ask('GET', '/templates?teamID=other')).body).toEqual([])
  })

  test('exist by name and alias, in any case', async () => {
    for (const name of ['base', 'BASE', 'code-interpreter-v1', 'base:default']) {
      expect(await alice.ask('GET', `/templates/aliases/${name}`)).toMatchObject({ status: 200, body: { public: true } })
    }
    expect(await alice.ask('GET', '/templates/aliases/nope')).toMatchObject({ status: 404, body: { code: 404 } })
    expect(await alice.ask('GET', '/templates/aliases/team%2Fnope')).toMatchObject({ status: 404 })
    expect(await alice.ask('GET', '/templates/base')).toMatchObject({ status: 200, body: { builds: [{ status: 'ready' }] } })
    expect(await alice.ask('GET', '/templates/nope')).toMatchObject({ status: 404 })
  })

  test('tags are their owner’s own', async () => {
    const assigned = await alice.ask('POST', '/templates/tags', { target: 'base:default', tags: ['V2', 'stable'] })
    expect(assigned).toMatchObject({ status: 201, body: { tags: ['v2', 'stable'] } })
    const tags = async (client: ControlClient) => (await client.ask('GET', '/templates/base/tags')).body
    expect(await tags(alice)).toMatchObject([
      { tag: 'default', buildID: assigned.body.buildID, createdAt: expect.stringMatching(/Z$/) },
      { tag: 'v2' },
      { tag: 'stable' },
    ])
    expect(await tags(bob)).toMatchObject([{ tag: 'default' }])
    expect(await alice.ask('POST', '/v2/sandboxes', { templateID: 'base:v2' })).toMatchObject({ status: 201, body: { templateID: 'base' } })
    expect(await bob.ask('POST', '/v2/sandboxes', { templateID: 'base:v2' })).toMatchObject({ status: 404 })
    expect(await alice.ask('POST', '/templates/tags', { target: 'base:stable', tags: ['more'] })).toMatchObject({ status: 201 })
    expect(await alice.ask('DELETE', '/templates/tags', { name: 'base', tags: ['v2', 'stable', 'more'] })).toMatchObject({ status: 204 })
    expect(await tags(alice)).toMatchObject([{ tag: 'default' }])
    expect(await alice.ask('POST', '/v2/sandboxes', { templateID: 'base:v2' })).toMatchObject({ status: 404 })
  })

  test.each([
    ['POST', { target: ':x', tags: ['a'] }, 400],
    ['POST', { target: 'base:', tags: ['a'] }, 400],
    ['POST', { target: 'base', tags: [] }, 400],
    ['POST', { target: 'base', tags: [''] }, 400],
    ['POST', { target: 'base', tags: ['a:b'] }, 400],
    ['POST', { target: 'nope', tags: ['a'] }, 404],
    ['POST', { target: 'base:unknown', tags: ['a'] }, 404],
    ['DELETE', { name: 'base', tags: ['default'] }, 400],
    ['DELETE', { name: 'nope', tags: ['a'] }, 404],
  ])('%s tags %j is refused with %i', async (method, body, status) => {
    expect(await alice.ask(method, '/templates/tags', body)).toMatchObject({ status, body: { code: status } })
  })
})

test('an owner is its own team, and knows of no other', async () => {
  const teams = (await alice.ask('GET', '/teams')).body
  expect(teams).toEqual([{ teamID: 'alice', name: 'alice', apiKey: expect.stringMatching(/^e2b_[0-9a-f]{40}$/), isDefault: true }])
  // E2B's command line shows its key as a bearer token, and goes on with the one that it is told.
  const bearer = { 'x-api-key': '', authorization: `Bearer ${teams[0].apiKey}` }
  expect((await alice.ask('GET', '/teams', undefined, bearer)).body).toEqual(teams)
  const { body } = await alice.ask('GET', '/teams/alice/metrics')
  expect(body).toMatchObject([{ concurrentSandboxes: 1, sandboxStartRate: 1 / 60, timestampUnix: expect.any(Number) }])
  expect((await alice.ask('GET', '/teams/alice/metrics?end=5')).body).toEqual([])
  server.rooms.control.teams.tick(Date.now() - 3_600_000)
  const anHourAgo = Math.floor(Date.now() / 1000) - 3600
  const history = (await alice.ask('GET', `/teams/alice/metrics?start=${anHourAgo - 10}&end=${anHourAgo + 10}`)).body
  expect(history).toMatchObject([{ timestampUnix: anHourAgo, concurrentSandboxes: expect.any(Number) }])
  expect((await alice.ask('GET', '/teams/alice/metrics')).body).toHaveLength(2)
  const max = await alice.ask('GET', '/teams/alice/metrics/max?metric=concurrent_sandboxes')
  expect(max).toMatchObject({ status: 200, body: { value: 1, timestamp: expect.stringMatching(/Z$/) } })
  expect(await alice.ask('GET', '/teams/alice/metrics/max?metric=concurrent_sandboxes&end=5')).toMatchObject({ status: 404 })
  expect(await alice.ask('GET', '/teams/alice/metrics/max?metric=other')).toMatchObject({ status: 400 })
  expect(await alice.ask('GET', '/teams/bob/metrics')).toMatchObject({ status: 404 })
})
