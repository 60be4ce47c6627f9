import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Answer, ControlClient } from './control-client.ts'
import { SpecDaemon } from './daemon.ts'
import { exchange } from './raw.ts'

const WAIT_MS = 60_000
const LOOK_MS = 50

let daemon: SpecDaemon
let caller: ControlClient
let other: ControlClient
beforeAll(async () => {
  daemon = await SpecDaemon.open()
  const operator = new ControlClient(daemon.url, daemon.key)
  const keyOf = async (owner: string) => (await operator.ask('POST', '/caisson/v1/keys', { owner })).body.key
  caller = new ControlClient(daemon.url, await keyOf('alice'))
  other = new ControlClient(daemon.url, await keyOf('bob'))
})
afterAll(async () => {
  for (const client of [caller, other]) {
    const { body } = await client.ask('GET', '/v2/sandboxes')
    await Promise.all(body.map(({ sandboxID }: { sandboxID: string }) => client.ask('DELETE', `/sandboxes/${sandboxID}`)))
  }
  await daemon[Symbol.asyncDispose]()
})

async function create(body: object = {}): Promise<string> {
  const { status, body: made } = await caller.ask('POST', '/v2/sandboxes', { templateID: 'base', timeout: 300, ...body })
  expect(status).toBe(201)
  return made.sandboxID
}
const get = (id: string) => caller.ask('GET', `/sandboxes/${id}`)
const story = (id: string) => caller.ask('GET', `/caisson/v1/sandboxes/${id}`)

async function until(ask: () => Promise<Answer>, isSo: (answer: Answer) => boolean): Promise<Answer> {
  for (const end = Date.now() + WAIT_MS; ; await pause(LOOK_MS)) {
    const answer = await ask()
    if (isSo(answer)) return answer
    if (Date.now() > end) throw new Error(`it did not come about: ${JSON.stringify(answer.body)}`)
  }
}

/** What a sandbox's own file says, through E2B's door to it. */
async function file(id: string, path: string, text?: string): Promise<string> {
  const { body } = await get(id)
  const headers = { 'e2b-sandbox-id': id, 'e2b-sandbox-port': '49983', 'x-access-token': body.envdAccessToken }
  const url = `${daemon.url}/files?path=${encodeURIComponent(path)}&username=user`
  if (text === undefined) return (await fetch(url, { headers })).text()
  const answer = await fetch(url, { method: 'POST', headers: { ...headers, 'content-type': 'application/octet-stream' }, body: text })
  expect(answer.status).toBe(200)
  return text
}

test('names of its ports lead here, and not to E2B’s own domain, for who asks from this machine', async () => {
  const operator = new ControlClient(daemon.url, daemon.key)
  const { sandboxID: id, domain } = (await operator.ask('POST', '/v2/sandboxes', { templateID: 'base', timeout: 300 })).body
  const port = Number(new URL(daemon.url).port)
  expect(domain).toBe(`localhost:${port}`)
  expect((await operator.ask('POST', `/v2/sandboxes/${id}/connect`, {})).body.domain).toBe(domain)
  const asked = (path: string, host: string) =>
    exchange(port, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nX-API-Key: ${daemon.key}\r\nConnection: close\r\n\r\n`)
  expect((await asked('/', `3000-${id}.${domain}`)).body).toMatchObject({ sandboxId: id, port: 3000, code: 502 })
  const told = async (host: string) => (await asked(`/sandboxes/${id}`, host)).body.domain
  expect([await told('localhost'), await told('[::1]:80'), await told('127.0.0.1:9000')]).toEqual([
    'localhost',
    'localhost:80',
    'localhost:9000',
  ])
  expect([await told('daemon.example:7007'), await told('127.0.0.1.example'), await told('localhost:7007.example')]).toEqual([
    null,
    null,
    null,
  ])
  await operator.ask('DELETE', `/sandboxes/${id}`)
})

describe('time', () => {
  test('a sandbox ends when its time is over, is 404 then, and its owner is told why', async () => {
    const id = await create({ timeout: 1 })
    await until(
      () => get(id),
      ({ status }) => status === 404,
    )
    expect((await story(id)).body).toMatchObject({ state: 'gone', death: { reason: 'timeout' } })
    expect(await caller.ask('DELETE', `/sandboxes/${id}`)).toMatchObject({ status: 404 })
  })

  test('connect leaves the end as it is to the millisecond, or moves it further; timeout moves it nearer', async () => {
    const id = await create({ timeout: 100 })
    const { endAt } = (await get(id)).body
    expect(await caller.ask('POST', `/v2/sandboxes/${id}/connect`, { timeout: 5 })).toMatchObject({ status: 200, body: { sandboxID: id } })
    expect((await get(id)).body.endAt).toBe(endAt)
    await caller.ask('POST', `/sandboxes/${id}/connect`, { timeout: 200 })
    expect(Date.parse((await get(id)).body.endAt)).toBeGreaterThan(Date.parse(endAt))
    await caller.ask('POST', `/sandboxes/${id}/timeout`, { timeout: 0 })
    await until(
      () => get(id),
      ({ status }) => status === 404,
    )
    expect((await story(id)).body.death.reason).toBe('timeout')
  })

  test('one that is to be paused then is paused, and nothing is lost', async () => {
    const id = await create({ timeout: 2, autoPause: true })
    await file(id, '/home/user/kept.txt', 'kept')
    const { body } = await until(
      () => get(id),
      ({ body }) => body.state === 'paused',
    )
    expect(body.lifecycle).toEqual({ onTimeout: 'pause', autoResume: false })
    expect((await caller.ask('GET', '/v2/sandboxes?state=paused')).body.map(({ sandboxID }: { sandboxID: string }) => sandboxID)).toContain(
      id,
    )
    expect(await caller.ask('POST', `/v2/sandboxes/${id}/connect`, {})).toMatchObject({ status: 201 })
    expect(await file(id, '/home/user/kept.txt')).toBe('kept')
  })
})

describe('pause', () => {
  test.each([true, false])('with memory %s, and back', async (memory) => {
    const id = await create({ metadata: { memory: String(memory) } })
    const token = (await get(id)).body.envdAccessToken
    await file(id, '/home/user/kept.txt', 'kept')
    expect(await caller.ask('POST', `/sandboxes/${id}/pause`, { memory })).toMatchObject({ status: 204 })
    expect(await caller.ask('POST', `/sandboxes/${id}/pause`, { memory })).toMatchObject({ status: 409, body: { code: 409 } })
    expect((await get(id)).body).toMatchObject({
      state: 'paused',
      pauseMode: memory ? 'full' : 'filesystem',
      metadata: { memory: String(memory) },
    })
    const back = await caller.ask('POST', `/v2/sandboxes/${id}/connect`, { timeout: 100 })
    expect(back).toMatchObject({ status: 201, body: { sandboxID: id, envdAccessToken: token } })
    expect((await get(id)).body).not.toHaveProperty('pauseMode')
    expect(await file(id, '/home/user/kept.txt')).toBe('kept')
  })

  test('a paused one is killed like any other', async () => {
    const id = await create()
    await caller.ask('POST', `/sandboxes/${id}/pause`, {})
    expect(await caller.ask('DELETE', `/sandboxes/${id}`)).toMatchObject({ status: 204 })
    expect(await get(id)).toMatchObject({ status: 404 })
  })

  test('a guest that is to be healthy is asked first', async () => {
    const id = await create()
    expect(await caller.ask('POST', `/sandboxes/${id}/pause`, { requireHealthyGuest: true })).toMatchObject({ status: 204 })
    expect((await get(id)).body.state).toBe('paused')
  })
})

describe('copies', () => {
  test('a snapshot has the files of its moment; what is made of it is on its own, and its owner’s', async () => {
    const id = await create()
    await file(id, '/home/user/note.txt', 'before')
    const taken = await caller.ask('POST', `/sandboxes/${id}/snapshots`, { name: 'with-note' })
    expect(taken).toMatchObject({ status: 201, body: { names: ['with-note:default'] } })
    await file(id, '/home/user/note.txt', 'after')
    const { snapshotID } = taken.body
    const [one, two] = [await create({ templateID: snapshotID }), await create({ templateID: 'with-note' })]
    await file(one, '/home/user/note.txt', 'mine')
    expect(await file(two, '/home/user/note.txt')).toBe('before')
    expect(await file(id, '/home/user/note.txt')).toBe('after')
    const { templateID } = (await get(one)).body
    const found = (await caller.ask('GET', `/v2/sandboxes?template=${templateID}`)).body.map(
      ({ sandboxID }: { sandboxID: string }) => sandboxID,
    )
    expect([...found].sort()).toEqual([one, two].sort())

    const reference = encodeURIComponent(snapshotID)
    expect(await other.ask('POST', '/v2/sandboxes', { templateID: snapshotID })).toMatchObject({ status: 404 })
    expect((await other.ask('GET', '/snapshots')).body).toEqual([])
    expect(await other.ask('GET', `/templates/${reference}/tags`)).toMatchObject({ status: 404 })
    expect(await other.ask('POST', '/templates/tags', { target: snapshotID, tags: ['mine'] })).toMatchObject({ status: 404 })
    expect(await other.ask('DELETE', `/templates/${reference}`)).toMatchObject({ status: 404 })
    expect((await caller.ask('GET', `/snapshots?sandboxID=${id}`)).body).toEqual([taken.body])
    expect(await caller.ask('DELETE', `/templates/${reference}`)).toMatchObject({ status: 204 })
    expect(await caller.ask('DELETE', `/templates/${reference}`)).toMatchObject({ status: 404, body: { code: 404 } })
    expect(await caller.ask('POST', '/v2/sandboxes', { templateID: snapshotID })).toMatchObject({ status: 404 })
    expect(await file(two, '/home/user/note.txt')).toBe('before')
  })

  test('forks have the files of the one that they come from, which goes on', async () => {
    const id = await create({ metadata: { of: 'fork' } })
    await file(id, '/home/user/note.txt', 'before')
    const { status, body } = await caller.ask('POST', `/sandboxes/${id}/fork`, { count: 2, timeout: 100 })
    expect(status).toBe(201)
    const forks: string[] = body.map(({ sandbox }: { sandbox: { sandboxID: string } }) => sandbox.sandboxID)
    expect(new Set([id, ...forks]).size).toBe(3)
    await file(id, '/home/user/note.txt', 'after')
    for (const fork of forks) {
      expect(await file(fork, '/home/user/note.txt')).toBe('before')
      expect((await get(fork)).body).toMatchObject({ state: 'running', metadata: { of: 'fork' } })
    }
    for (const path of ['fork', 'snapshots'])
      expect(await caller.ask('POST', `/sandboxes/${id}/${path}`, { memory: true })).toMatchObject({
        status: 501,
        body: { message: expect.stringMatching(/wall container copies files.*microvm/) },
      })
  })
})

test('metrics are there soon, and none from before', async () => {
  const id = await create()
  const { body } = await until(
    () => caller.ask('GET', `/sandboxes/${id}/metrics`),
    ({ body }) => body.length > 0,
  )
  expect(body[0]).toMatchObject({ cpuCount: 2, memTotal: 1024 ** 3, timestampUnix: Math.floor(Date.parse(body[0].timestamp) / 1000) })
  expect(body[0].memUsed).toBeGreaterThan(0)
  expect((await caller.ask('GET', `/sandboxes/${id}/metrics?start=1000&end=2000`)).body).toEqual([])
  expect((await caller.ask('GET', `/sandboxes/metrics?sandbox_ids=${id}`)).body.sandboxes[id]).toMatchObject({ memTotal: 1024 ** 3 })
})

test('logs tell what was done in it, and how it ended', async () => {
  const id = await create()
  await caller.ask('DELETE', `/sandboxes/${id}`)
  const levels = await caller.ask('GET', `/v2/sandboxes/${id}/logs?level=info`)
  const messages = levels.body.logs.map(({ message }: { message: string }) => message)
  expect(messages[0]).toBe('created from base (profile e2b)')
  expect(messages.at(-1)).toMatch(/^ended: kill /)
  expect(JSON.stringify(levels.body)).not.toContain(daemon.home)
})

test('plan, profiles and doctor are those of this machine', async () => {
  const plan = (await caller.ask('POST', '/caisson/v1/plan', { profile: 'e2b', template: 'base', memoryMiB: 64 })).body
  expect(plan).toMatchObject({ template: 'base', profile: 'e2b', limits: { memoryBytes: 64 * 1024 * 1024 } })
  expect(JSON.stringify(plan)).not.toContain(daemon.home)
  const profiles = (await caller.ask('GET', '/caisson/v1/profiles')).body.map(({ name }: { name: string }) => name)
  expect(profiles).toEqual(expect.arrayContaining(['code-interpreter', 'default', 'e2b']))
  const operator = new ControlClient(daemon.url, daemon.key)
  expect((await operator.ask('GET', '/caisson/v1/doctor?wall=container')).body).toMatchObject({
    walls: [expect.objectContaining({ name: 'container', trial: expect.objectContaining({ ok: true }) })],
  })
  const unknown = await operator.ask('GET', '/caisson/v1/doctor?wall=paper')
  expect([unknown.status, unknown.body.code]).toEqual([400, expect.anything()])
})

test('pages hold each sandbox once, while others come and go', async () => {
  const mine = [
    await create({ metadata: { page: 'x' } }),
    await create({ metadata: { page: 'x' } }),
    await create({ metadata: { page: 'x' } }),
  ]
  const seen: string[] = []
  for (let token: string | null = ''; token !== null; ) {
    const { body, headers }: Answer = await caller.ask('GET', `/v2/sandboxes?metadata=page%3Dx&limit=1&nextToken=${token}`)
    seen.push(...body.map(({ sandboxID }: { sandboxID: string }) => sandboxID))
    if (seen.length === 1) await create({ metadata: { page: 'x' } })
    token = headers.get('x-next-token')
  }
  expect(seen).toEqual([...mine].reverse())
})
