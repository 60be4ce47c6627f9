import { Plan } from '@caisson/wire'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ControlClient } from './control-client.ts'
import { ControlServer } from './control-server.ts'

const server = new ControlServer()
let url: string
let alice: ControlClient
let bob: ControlClient
let operator: ControlClient
beforeAll(async () => {
  url = await server.listen()
  alice = new ControlClient(url, server.keys.add('alice'))
  bob = new ControlClient(url, server.keys.add('bob'))
  operator = new ControlClient(url, server.keys.add('root', true))
})
afterAll(() => server[Symbol.asyncDispose]())
beforeEach(() => {
  server.fleet.records.clear()
  server.fleet.wishes.length = 0
})

const create = (client: ControlClient, body: unknown = {}) => client.ask('POST', '/caisson/v1/sandboxes', body)
const MOUNT = { source: '/srv', target: '/data', mode: 'ro' }

describe('create', () => {
  test('takes every word of a request, and answers as E2B’s route does', async () => {
    const request = { profile: 'strict', wall: 'container', network: 'none', env: { A: 'b' }, metadata: { m: 'n' }, memoryMiB: 64 }
    const limits = { cpus: 0.5, pids: 32, diskMiB: 64, outputMiB: null, openFiles: 64 }
    const asked = {
      ...request,
      ...limits,
      template: 'code-interpreter-v1',
      timeoutMs: 1500,
      leash: 'none',
      lifecycle: { onTimeout: 'pause' },
    }
    const { status, body } = await create(alice, asked)
    expect(status).toBe(201)
    expect(body).toMatchObject({ sandboxID: expect.any(String), envdAccessToken: 'an access token', templateID: 'code-interpreter' })
    expect(server.fleet.wishes).toEqual([
      {
        request: { ...request, ...limits, template: 'code-interpreter', leash: 'none' },
        timeoutMs: 1500,
        lifecycle: { onTimeout: 'pause', pauseMemory: true, autoResume: false },
        traffic: { public: true, maskRequestHost: null, httpsPorts: [] },
        secure: true,
        egress: null,
      },
    ])
  })

  test('without a time gets that of its profile', async () => {
    await create(alice, { profile: 'e2b' })
    await create(alice, {})
    expect(server.fleet.wishes.map(({ timeoutMs }) => timeoutMs)).toEqual([300_000, 300_000])
  })

  test.each([
    [{ colour: 'red' }, 400, 'colour'],
    [{ lifecycle: { colour: 1 } }, 400, 'colour'],
    [{ memoryMiB: 'much' }, 400, 'memoryMiB'],
    [{ wall: 'paper' }, 400, 'wall'],
    [{ network: 'wifi' }, 400, 'network'],
    [{ leash: 'host' }, 400, 'leash'],
    [{ timeoutMs: null }, 400, 'timeoutMs'],
    [{ timeoutMs: 86_400_001 }, 400, 'timeoutMs'],
    [{ template: 'nope' }, 404, 'template'],
    [{ mounts: [MOUNT] }, 403, 'mounts'],
    [
      { network: { mode: 'allow', allow: ['x.example'], credentials: [{ secret: 'theirs', host: 'x.example' }] } },
      403,
      'network.credentials',
    ],
    [{ lifecycle: { pauseMemory: false } }, 400, 'lifecycle.pauseMemory'],
    [{ lifecycle: { onTimeout: 'pause', pauseMemory: false, autoResume: true } }, 400, 'lifecycle.pauseMemory'],
  ])('refuses %j with %i, naming %s', async (body, status, naming) => {
    expect(await create(alice, body)).toMatchObject({ status, body: { code: status, message: expect.stringContaining(naming) } })
    expect(server.fleet.wishes).toEqual([])
  })

  test('operators may mount folders of this machine', async () => {
    expect(await create(operator, { mounts: [MOUNT] })).toMatchObject({ status: 201 })
    expect(server.fleet.wishes).toMatchObject([{ request: { mounts: [MOUNT] } }])
  })
})

test('a plan is a plan; where things lie on this machine is for operators', async () => {
  const ask = async (client: ControlClient, body: object = {}) => client.ask('POST', '/caisson/v1/plan', body)
  const { status, body } = await ask(alice, { template: 'base' })
  expect(status).toBe(200)
  expect(Plan.parse(body)).toMatchObject({ template: 'base', limits: { memoryBytes: 512 * 1024 * 1024 } })
  expect(JSON.stringify(body)).not.toContain('/secret')
  expect(JSON.stringify((await ask(operator)).body)).toContain('/secret')
  expect(await ask(alice, { mounts: [MOUNT] })).toMatchObject({ status: 403 })
  expect(await ask(alice, { colour: 1 })).toMatchObject({ status: 400 })
  expect(server.fleet.records.size).toBe(0)
})

test('one that is gone is told of, and why it ended, to its owner alone', async () => {
  const id = (await create(alice, { timeoutMs: 5000, metadata: { a: 'b' } })).body.sandboxID
  const get = (client: ControlClient) => client.ask('GET', `/caisson/v1/sandboxes/${id}`)
  const { body } = await get(alice)
  expect(body).toMatchObject({
    sandboxID: id,
    state: 'running',
    wall: 'container',
    profile: 'e2b',
    metadata: { a: 'b' },
    limits: { pids: 128 },
    lease: { owner: 'alice', endsAt: body.endAt },
    death: null,
  })
  expect(JSON.stringify(body)).not.toMatch(/secret|token/)
  await alice.ask('DELETE', `/sandboxes/${id}`)
  expect((await get(alice)).body).toMatchObject({
    state: 'gone',
    lease: { endsAt: null },
    death: { id, reason: 'kill', detail: 'on request', endedMs: expect.any(Number) },
  })
  expect(await get(bob)).toMatchObject({ status: 404 })
})

describe('keys', () => {
  test('are made once, listed without themselves, and worthless when revoked', async () => {
    const quotas = { sandboxes: 3, createsPerSecond: 1, cpus: 2.5, memoryMiB: 4096, diskMiB: 8192, snapshots: 7, snapshotMiB: 1024 }
    const { status, body, headers } = await operator.ask('POST', '/caisson/v1/keys', { owner: 'carol', quotas })
    expect(status).toBe(201)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(body).toMatchObject({ owner: 'carol', operator: false, quotas, key: expect.stringMatching(/^e2b_[0-9a-f]{40}$/) })
    const listed = await operator.ask('GET', '/caisson/v1/keys')
    expect(listed.body.find(({ id }: { id: string }) => id === body.id)).toEqual({
      id: body.id,
      owner: 'carol',
      operator: false,
      quotas,
      leastWall: 'container',
      createdAt: expect.stringMatching(/Z$/),
      snapshots: { count: 2, mostCount: null, bytes: 3_000_000, mostBytes: 5_000_000 },
    })
    expect(JSON.stringify(listed.body)).not.toContain(body.key)
    const carol = new ControlClient(url, body.key)
    expect(await carol.ask('GET', '/v2/sandboxes')).toMatchObject({ status: 200 })
    expect(await new ControlClient(url, `${body.key.slice(0, -1)}g`).ask('GET', '/v2/sandboxes')).toMatchObject({ status: 401 })
    expect(await operator.ask('DELETE', `/caisson/v1/keys/${body.id}`)).toMatchObject({ status: 204 })
    expect(await operator.ask('DELETE', `/caisson/v1/keys/${body.id}`)).toMatchObject({ status: 404 })
    expect(await carol.ask('GET', '/v2/sandboxes')).toMatchObject({ status: 401, body: { code: 401 } })
  })

  test('nobody locks himself out', async () => {
    const keys = (await operator.ask('GET', '/caisson/v1/keys')).body
    const own = keys.find(({ owner }: { owner: string }) => owner === 'root')
    expect(await operator.ask('DELETE', `/caisson/v1/keys/${own.id}`)).toMatchObject({ status: 409 })
  })

  test.each([
    {},
    { owner: '' },
    { owner: 'A B' },
    { owner: 'x', quotas: { colour: 1 } },
    { owner: 'x', quotas: { cpus: -1 } },
    { owner: 'x', quotas: { snapshotMiB: '1GiB' } },
    { owner: 'x', key: 'e2b_0' },
  ])('%j is refused', async (body) => {
    expect(await operator.ask('POST', '/caisson/v1/keys', body)).toMatchObject({ status: 400 })
  })
})

test.each([
  ['GET', '/caisson/v1/doctor'],
  ['GET', '/caisson/v1/keys'],
  ['POST', '/caisson/v1/keys'],
  ['DELETE', '/caisson/v1/keys/k0'],
  ['GET', '/caisson/v1/audit'],
])('%s %s is for operators', async (method, path) => {
  expect(await alice.ask(method, path)).toMatchObject({ status: 403, body: { code: 403, error_code: 'access_denied' } })
})

test('doctor and profiles are told', async () => {
  expect((await operator.ask('GET', '/caisson/v1/doctor')).body).toMatchObject({
    home: '/secret',
    walls: [],
    templates: [],
    allowPrivate: [],
  })
  expect((await alice.ask('GET', '/caisson/v1/profiles')).body).toMatchObject([{ name: 'e2b', limits: { cpus: 2 } }])
})

describe('events', () => {
  test('of the caller’s sandboxes and no other’s, as they happen', async () => {
    const lines = alice.lines('/caisson/v1/events')
    expect(await lines.next()).toMatchObject({ value: { kind: 'alive' } })
    await create(bob)
    const id = (await create(alice)).body.sandboxID
    await alice.ask('POST', `/sandboxes/${id}/timeout`, { timeout: 50 })
    await alice.ask('POST', `/sandboxes/${id}/pause`, {})
    await alice.ask('POST', `/v2/sandboxes/${id}/connect`, {})
    await alice.ask('DELETE', `/sandboxes/${id}`)
    const told = [await lines.next(), await lines.next(), await lines.next(), await lines.next(), await lines.next()].map(
      ({ value }) => value,
    )
    expect(told).toMatchObject([
      { kind: 'created', sandboxID: id, state: 'running' },
      { kind: 'timeout', sandboxID: id, state: 'running' },
      { kind: 'paused', sandboxID: id, state: 'paused' },
      { kind: 'resumed', sandboxID: id, state: 'running' },
      { kind: 'gone', sandboxID: id, state: 'gone', reason: 'kill: on request' },
    ])
    await lines.return()
    await expect.poll(() => server.fleet.listeners).toBe(0)
  })

  test('of one sandbox', async () => {
    const [one, other] = [(await create(alice)).body.sandboxID, (await create(alice)).body.sandboxID]
    const lines = alice.lines(`/caisson/v1/events?sandbox=${one}`)
    await lines.next()
    await alice.ask('DELETE', `/sandboxes/${other}`)
    await alice.ask('DELETE', `/sandboxes/${one}`)
    expect(await lines.next()).toMatchObject({ value: { kind: 'gone', sandboxID: one } })
    await lines.return()
  })

  test('in the form of server-sent events, for who asks for it', async () => {
    const stop = new AbortController()
    const key = server.keys.add('alice')
    const response = await fetch(`${url}/caisson/v1/events`, {
      headers: { 'x-api-key': key, accept: 'text/event-stream' },
      signal: stop.signal,
    })
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const reader = response.body?.getReader()
    const first = new TextDecoder().decode((await reader?.read())?.value)
    expect(first).toMatch(/^event: alive\ndata: \{.*\}\n\n$/)
    stop.abort()
    await expect.poll(() => server.fleet.listeners).toBe(0)
  })
})
