import { ENVD_VERSION } from '@caisson/wire'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ControlClient } from './control-client.ts'
import { ControlServer } from './control-server.ts'

const server = new ControlServer()
let alice: ControlClient
beforeAll(async () => {
  const url = await server.listen()
  alice = new ControlClient(url, server.keys.add('alice'))
})
afterAll(() => server[Symbol.asyncDispose]())
beforeEach(() => {
  server.fleet.records.clear()
  server.fleet.wishes.length = 0
})

const SANDBOX = ['clientID', 'envdVersion', 'sandboxID', 'templateID']
/** E2B's placeholder for the port. */
const MASK = ['localhost:', '{PORT}'].join('$')
const DETAIL = [...SANDBOX, 'cpuCount', 'diskSizeMB', 'endAt', 'memoryMB', 'startedAt', 'state']

describe('create', () => {
  test.each([
    ['/sandboxes', 15_000],
    ['/v2/sandboxes', 300_000],
  ])('POST %s answers 201 and what a client needs to go on, and has its own time limit', async (path, timeoutMs) => {
    const { status, body } = await alice.ask('POST', path, { templateID: 'base' })
    expect(status).toBe(201)
    expect(Object.keys(body)).toEqual(expect.arrayContaining(SANDBOX))
    expect(body).toMatchObject({
      templateID: 'base',
      envdVersion: ENVD_VERSION,
      envdAccessToken: 'an access token',
      trafficAccessToken: null,
      domain: 'sbx.example:8000',
    })
    expect(body.sandboxID).toMatch(/^i[a-z0-9]{19}$/)
    expect(server.fleet.wishes).toMatchObject([{ timeoutMs, secure: true }])
  })

  test('all that old and new clients send arrives as what it means', async () => {
    const { status } = await alice.ask('POST', '/v2/sandboxes', {
      templateID: 'Code-Interpreter-v1:default',
      timeout: 91,
      metadata: { u: '1' },
      envVars: { A: 'b' },
      allow_internet_access: true,
      autoPause: true,
      autoResume: { enabled: true },
      network: {
        denyOut: ['0.0.0.0/0', '::1', '10.0.0.0/8'],
        allowPublicTraffic: false,
        maskRequestHost: MASK,
        httpsPorts: [8443],
      },
      mcp: { github: { token: 'x' } },
      volumeMounts: [],
      iam: { tokens: {} },
    })
    expect(status).toBe(201)
    expect(server.fleet.wishes).toEqual([
      {
        request: {
          profile: 'e2b',
          template: 'code-interpreter',
          env: { A: 'b' },
          metadata: { u: '1' },
          leash: 'none',
          network: { mode: 'allow', first: 'allow', allow: [], deny: ['0.0.0.0/0', '::1', '10.0.0.0/8'] },
        },
        timeoutMs: 91_000,
        lifecycle: { onTimeout: 'pause', pauseMemory: true, autoResume: true },
        egress: { allow_internet_access: true, denyOut: ['0.0.0.0/0', '::1', '10.0.0.0/8'] },
        traffic: { public: false, maskRequestHost: MASK, httpsPorts: [8443] },
        secure: true,
      },
    ])
    await alice.ask('POST', '/sandboxes', {
      templateID: 'base',
      allow_internet_access: false,
      autoPause: false,
      autoResume: { enabled: false },
      envVars: {},
      metadata: {},
      secure: false,
      timeout: 60,
    })
    expect(server.fleet.wishes[1]).toMatchObject({ secure: false, lifecycle: { onTimeout: 'kill', autoResume: false } })
  })

  test.each([
    [{}, 400, 'templateID'],
    [{ templateID: 7 }, 400, 'templateID'],
    [{ templateID: 'base:' }, 400, 'templateID'],
    [{ templateID: ':x' }, 400, 'templateID'],
    [{ templateID: 'a:b:c' }, 400, 'templateID'],
    [{ templateID: 'nope' }, 404, 'nope'],
    [{ templateID: 'base:v2' }, 404, 'base:v2'],
    [{ templateID: 'base', colour: 'red' }, 400, 'colour'],
    [{ templateID: 'base', network: { colour: 1 } }, 400, 'colour'],
    [{ templateID: 'base', timeout: 0 }, 400, 'timeout'],
    [{ templateID: 'base', timeout: -1 }, 400, 'timeout'],
    [{ templateID: 'base', timeout: 1.5 }, 400, 'timeout'],
    [{ templateID: 'base', timeout: '60' }, 400, 'timeout'],
    [{ templateID: 'base', timeout: 86_401 }, 400, 'Timeout cannot be greater than 24 hours'],
    [{ templateID: 'base', metadata: { a: 1 } }, 400, 'metadata.a'],
    [{ templateID: 'base', metadata: { a: 'cut in \ud83d' } }, 400, 'metadata.a: has half of a character in it'],
    [{ templateID: 'base', metadata: { '\ud83d': 'a' } }, 400, 'metadata'],
    [{ templateID: 'base', envVars: { A: 'cut in \ud83d' } }, 400, 'envVars.A: has half of a character in it'],
    [{ templateID: 'base', envVars: { 'A=B': 'x' } }, 400, 'envVars'],
    [{ templateID: 'base', envVars: { A: 'x\0y' } }, 400, 'NUL'],
    [{ templateID: 'base', secure: false }, 400, 'secure'],
    [{ templateID: 'base', autoPauseMemory: false }, 400, 'autoPauseMemory'],
    [{ templateID: 'base', autoPause: true, autoPauseMemory: false, autoResume: { enabled: true } }, 400, 'autoResume'],
    [{ templateID: 'base', network: { denyOut: ['example.com'] } }, 400, 'network.denyOut.0'],
    [{ templateID: 'base', network: { denyOut: ['10.0.0.0/33'] } }, 400, 'network.denyOut.0'],
    [{ templateID: 'base', network: { httpsPorts: [49_983] } }, 400, '49983'],
    [{ templateID: 'base', network: { httpsPorts: [0] } }, 400, 'network.httpsPorts.0'],
    [{ templateID: 'base', network: { maskRequestHost: 'a\r\nb: c' } }, 400, 'network.maskRequestHost'],
    [{ templateID: 'base', network: { allowOut: ['example.com'] } }, 400, 'network.allowOut: example.com is a domain'],
    [{ templateID: 'base', allow_internet_access: false, network: { allowOut: ['a b'] } }, 400, 'network.allowOut.0'],
    [{ templateID: 'base', network: { rules: { 'a.example': [{ transform: { headers: { A: 1 } } }] } } }, 400, 'network.rules.a.example'],
    [{ templateID: 'base', network: { dnsServers: ['8.8.8.8'] } }, 501, 'network.dnsServers'],
    [{ templateID: 'base', network: { egressProxy: { address: 'a' } } }, 400, 'network.egressProxy.address'],
    [{ templateID: 'base', network: { egressProxy: { address: 'a.b:1080', tls: { enabled: true } } } }, 501, 'network.egressProxy.tls'],
    [
      { templateID: 'base', network: { rules: { 'a.b': [{ transform: { headers: { A: `\${e2b.identity.tokens.t}` } } }] } } },
      501,
      'tokens',
    ],
    [{ templateID: 'base', mcp: 'github' }, 400, 'mcp'],
    [{ templateID: 'base', volumeMounts: [{ name: 'v', path: '/v' }] }, 501, 'volumeMounts'],
    [{ templateID: 'base', iam: { tokens: { t: { audience: 'a', tokenType: 'JWT-SVID' } } } }, 501, 'iam.tokens'],
    ['{"templateID":', 400, 'JSON'],
    ['[]', 400, 'expected object'],
    ['null', 400, 'expected object'],
  ])('refuses %j with %i, naming %s', async (asked, status, naming) => {
    const answer = await alice.ask('POST', '/v2/sandboxes', asked)
    expect(answer.status).toBe(status)
    expect(answer.body).toEqual({
      code: status,
      message: expect.stringContaining(naming),
      error_code: expect.any(String),
      hint: expect.any(String),
    })
    expect(server.fleet.wishes).toEqual([])
  })

  test('a private sandbox has to be secured', async () => {
    const { status, body } = await alice.ask('POST', '/sandboxes', {
      templateID: 'base',
      secure: false,
      network: { allowPublicTraffic: false },
    })
    expect(status).toBe(400)
    expect(body.message).toContain('allowPublicTraffic')
  })

  test('an Idempotency-Key makes one sandbox of many requests, and is its owner’s own', async () => {
    const bob = new ControlClient(server.url, server.keys.add('bob'))
    const ask = (client: ControlClient, body: object) => client.ask('POST', '/v2/sandboxes', body, { 'idempotency-key': 'k-1' })
    const answers = await Promise.all([1, 2, 3].map(() => ask(alice, { templateID: 'base' })))
    expect(new Set(answers.map(({ status, body }) => `${status} ${body.sandboxID}`)).size).toBe(1)
    expect((await ask(bob, { templateID: 'base' })).body.sandboxID).not.toBe(answers[0]?.body.sandboxID)
    expect(server.fleet.wishes).toHaveLength(2)
    expect(await ask(alice, { templateID: 'base', timeout: 9 })).toMatchObject({ status: 409 })
    await alice.ask('DELETE', `/sandboxes/${answers[0]?.body.sandboxID}`)
    expect(await ask(alice, { templateID: 'base' })).toMatchObject({ status: 409, body: { message: expect.stringContaining('has ended') } })
    const strange = await alice.ask('POST', '/v2/sandboxes', { templateID: 'base' }, { 'idempotency-key': 'a key' })
    expect(strange).toMatchObject({ status: 400, body: { message: expect.stringContaining('Idempotency-Key') } })
  })

  test('what failed is not remembered under its Idempotency-Key', async () => {
    const ask = (template: string) => alice.ask('POST', '/v2/sandboxes', { templateID: template }, { 'idempotency-key': 'k-2' })
    expect(await ask('nope')).toMatchObject({ status: 404 })
    expect(await ask('base')).toMatchObject({ status: 201 })
  })
})

describe('one sandbox', () => {
  let id: string
  const create = async (body: object = {}) => (await alice.ask('POST', '/v2/sandboxes', { templateID: 'base', ...body })).body.sandboxID
  beforeEach(async () => {
    id = await create({ timeout: 60, metadata: { a: 'b' }, autoPause: true })
  })

  test('is told with every field that clients require', async () => {
    const { status, body } = await alice.ask('GET', `/sandboxes/${id}`)
    expect(status).toBe(200)
    expect(Object.keys(body)).toEqual(expect.arrayContaining(DETAIL))
    expect(body).toMatchObject({
      sandboxID: id,
      templateID: 'base',
      cpuCount: 2,
      memoryMB: 512,
      diskSizeMB: 1024,
      state: 'running',
      metadata: { a: 'b' },
      allowInternetAccess: true,
      lifecycle: { onTimeout: 'pause', autoResume: false },
      network: { allowPublicTraffic: true },
      envdAccessToken: 'an access token',
      domain: 'sbx.example:8000',
    })
    expect(JSON.stringify(body)).not.toContain('/secret')
    expect(Date.parse(body.endAt) - Date.parse(body.startedAt)).toBe(60_000)
  })

  test('connect never shortens, and says so to the millisecond; timeout does as it is told', async () => {
    const end = async () => (await alice.ask('GET', `/sandboxes/${id}`)).body.endAt
    const before = await end()
    const shorter = await alice.ask('POST', `/v2/sandboxes/${id}/connect`, { timeout: 5 })
    expect(shorter).toMatchObject({ status: 200, body: { sandboxID: id, envdAccessToken: 'an access token', envdVersion: ENVD_VERSION } })
    expect(await end()).toBe(before)
    expect(await alice.ask('POST', `/v2/sandboxes/${id}/connect`, {})).toMatchObject({ status: 200 })
    expect(Date.parse(await end()) - Date.parse(before)).toBeGreaterThan(200_000)
    expect(await alice.ask('POST', `/sandboxes/${id}/connect`, {})).toMatchObject({ status: 400 })
    const told = await alice.ask('POST', `/sandboxes/${id}/timeout`, { timeout: 3 })
    expect(told).toMatchObject({ status: 204, body: undefined })
    expect(Date.parse(await end())).toBeLessThan(Date.parse(before))
    expect(await alice.ask('POST', `/sandboxes/${id}/timeout`, { timeout: -5 })).toMatchObject({ status: 204 })
    expect(await alice.ask('POST', `/sandboxes/${id}/timeout`, { timeout: 86_401 })).toMatchObject({ status: 400 })
    expect(await alice.ask('POST', `/sandboxes/${id}/timeout`, {})).toMatchObject({ status: 400 })
  })

  test('refreshes extend and never shorten', async () => {
    const end = async () => Date.parse((await alice.ask('GET', `/sandboxes/${id}`)).body.endAt)
    const before = await end()
    expect(await alice.ask('POST', `/sandboxes/${id}/refreshes`, {})).toMatchObject({ status: 204 })
    expect(await end()).toBe(before)
    expect(await alice.ask('POST', `/sandboxes/${id}/refreshes`, { duration: 3600 })).toMatchObject({ status: 204 })
    expect(await end()).toBeGreaterThan(before)
    expect(await alice.ask('POST', `/sandboxes/${id}/refreshes`, { duration: 3601 })).toMatchObject({ status: 400 })
  })

  test('once killed it is unknown to every route of E2B’s', async () => {
    expect(await alice.ask('DELETE', `/sandboxes/${id}`)).toMatchObject({ status: 204, body: undefined })
    expect(await alice.ask('DELETE', `/sandboxes/${id}`)).toMatchObject({ status: 404, body: { code: 404 } })
    expect(await alice.ask('GET', `/sandboxes/${id}`)).toMatchObject({ status: 404, body: { code: 404 } })
    expect(await alice.ask('POST', `/v2/sandboxes/${id}/connect`, {})).toMatchObject({ status: 404, body: { code: 404 } })
    expect(await alice.ask('POST', `/sandboxes/${id}/timeout`, { timeout: 9 })).toMatchObject({ status: 404, body: { code: 404 } })
  })
})
