import type { ServerResponse } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { Sandbox } from '../sandbox.ts'
import { FakeDaemon, ID, json, type Script, unaborted } from './fake-daemon.ts'
import { RemoteDoor } from './remote-door.ts'

let daemon: FakeDaemon | undefined
afterEach(async () => {
  await daemon?.[Symbol.asyncDispose]()
  daemon = undefined
})

async function opened(script: Script): Promise<{ daemon: FakeDaemon; door: RemoteDoor }> {
  daemon = await FakeDaemon.open(script)
  return { daemon, door: daemon.door }
}

const detail = {
  sandboxID: ID,
  templateID: 'base',
  alias: 'b',
  clientID: 'c',
  startedAt: '2026-01-02T03:04:05.000Z',
  endAt: '2026-01-02T03:09:05.123Z',
  cpuCount: 1,
  memoryMB: 512,
  diskSizeMB: 1024,
  state: 'running',
  envdVersion: '0.6.13',
  metadata: { a: 'b' },
}
const info = {
  id: ID,
  template: 'base',
  alias: 'b',
  state: 'running',
  startedMs: Date.UTC(2026, 0, 2, 3, 4, 5),
  endMs: Date.UTC(2026, 0, 2, 3, 9, 5, 123),
  cpus: 1,
  memoryMiB: 512,
  diskMiB: 1024,
  metadata: { a: 'b' },
}
const made = { sandboxID: ID, templateID: 'base', envdAccessToken: 'token', domain: null }

test('create sends the request as it is, with the key', async () => {
  const { daemon, door } = await opened({ 'POST /caisson/v1/sandboxes': ({ reply }) => json(reply, 201, made) })
  const sandbox = await Sandbox.create({ door, memoryMiB: null, metadata: { a: 'b' } })
  expect(sandbox.id).toBe(ID)
  expect(sandbox.getHost(3000)).toBe(`3000-${ID}.localhost:${daemon.port}`)
  const [asked] = daemon.asked
  expect(JSON.parse(asked?.body ?? '')).toEqual({ memoryMiB: null, metadata: { a: 'b' } })
  expect(asked?.headers).toMatchObject({ 'x-api-key': 'e2b_abc', 'caisson-client': '1' })
})

test('a refusal keeps its code, its hint and the time after which to try again', async () => {
  const body = { code: 429, message: 'two sandboxes are the most. End one.', error_code: 'quota_exceeded', hint: 'End one.' }
  const { door } = await opened({ 'POST /caisson/v1/sandboxes': ({ reply }) => json(reply, 429, body, { 'retry-after': '7' }) })
  await expect(Sandbox.create({ door })).rejects.toMatchObject({
    code: 'QUOTA_EXCEEDED',
    message: 'two sandboxes are the most',
    hint: 'End one.',
    retryAfterS: 7,
  })
})

test.each([
  [401, 'UNAUTHENTICATED'],
  [503, 'OVERLOADED'],
  [500, 'INTERNAL'],
  [404, 'NOT_FOUND'],
])('a status of something in between, %i, is %s', async (status, code) => {
  const { door } = await opened({ 'POST /caisson/v1/plan': ({ reply }) => void reply.writeHead(status).end('<html>') })
  await expect(door.plan({}, unaborted())).rejects.toMatchObject({ code })
})

test.each([
  ['no JSON', ({ reply }: { reply: ServerResponse }) => void reply.end('hello')],
  ['not an object', ({ reply }: { reply: ServerResponse }) => json(reply, 200, [])],
  ['without what it must have', ({ reply }: { reply: ServerResponse }) => json(reply, 200, {})],
])('an answer that is %s is no daemon’s', async (_, answer) => {
  const { door } = await opened({ 'POST /caisson/v1/sandboxes': answer })
  await expect(Sandbox.create({ door })).rejects.toMatchObject({ code: 'INTERNAL', hint: expect.stringContaining('CAISSON_URL') })
})

test('the list goes from page to page, with filters written as E2B’s SDKs write them', async () => {
  const { daemon, door } = await opened({
    'GET /v2/sandboxes': ({ request, reply }) =>
      request.url?.includes('nextToken')
        ? json(reply, 200, [{ ...detail, sandboxID: 'i2', state: 'paused' }])
        : json(reply, 200, [detail], { 'x-next-token': 'to/ken' }),
  })
  const found = []
  for await (const one of Sandbox.list({ door, states: ['running', 'paused'], metadata: { 'my key': 'v&1', b: 'c' } })) found.push(one)
  expect(found).toEqual([info, { ...info, id: 'i2', state: 'paused' }])
  const [first, second] = daemon.asked.map(({ line }) => line)
  expect(first).toBe('GET /v2/sandboxes?state=running%2Cpaused&metadata=my%252520key%3Dv%2525261%26b%3Dc')
  expect(second).toContain('&nextToken=to%2Fken')
})

test('connect takes what connect gives, and asks what else there is to know', async () => {
  const { daemon, door } = await opened({
    [`POST /v2/sandboxes/${ID}/connect`]: ({ reply }) => json(reply, 201, { ...made, domain: 'sbx.example' }),
    [`GET /sandboxes/${ID}`]: ({ reply }) => json(reply, 200, { ...detail, lifecycle: { onTimeout: 'pause', autoResume: true } }),
  })
  const sandbox = await Sandbox.connect(ID, { door, timeoutMs: 90_500 })
  expect(sandbox.metadata).toEqual({ a: 'b' })
  expect(sandbox.getHost(80)).toBe(`80-${ID}.sbx.example`)
  expect(await sandbox.getInfo()).toEqual({ ...info, onTimeout: 'pause', autoResume: true })
  expect(JSON.parse(daemon.asked[0]?.body ?? '')).toEqual({ timeout: 91 })
})

test('one that is not there, or is somebody else’s, is NOT_FOUND', async () => {
  const { door } = await opened({})
  await expect(Sandbox.connect('i9', { door })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  await expect(door.attach('../keys', unaborted())).rejects.toMatchObject({ code: 'NOT_FOUND' })
  expect(daemon?.asked.at(-1)?.line).toBe('GET /sandboxes/..%2Fkeys')
})

test('pause, resume, timeout, snapshot', async () => {
  let state = 'running'
  const { daemon, door } = await opened({
    'POST /caisson/v1/sandboxes': ({ reply }) => json(reply, 201, made),
    [`POST /sandboxes/${ID}/pause`]: ({ reply }) => {
      if (state === 'paused') json(reply, 409, { code: 409, message: 'paused' })
      else reply.writeHead(204).end()
      state = 'paused'
    },
    [`GET /sandboxes/${ID}`]: ({ reply }) => json(reply, 200, { ...detail, state }),
    [`POST /v2/sandboxes/${ID}/connect`]: ({ reply }) => {
      state = 'running'
      json(reply, 201, made)
    },
    [`POST /sandboxes/${ID}/timeout`]: ({ reply }) => void reply.writeHead(204).end(),
    [`POST /sandboxes/${ID}/snapshots`]: ({ reply }) => json(reply, 201, { snapshotID: 's:default', names: ['me/s:default'] }),
  })
  const sandbox = await Sandbox.create({ door })
  await sandbox.pause()
  await sandbox.pause()
  expect((await sandbox.getInfo()).state).toBe('paused')
  await expect(door.attach(ID, unaborted())).rejects.toMatchObject({ code: 'CONFLICT' })
  await sandbox.resume()
  await sandbox.setTimeout(1)
  expect(await sandbox.snapshot({ name: 's' })).toEqual({ id: 's:default', names: ['me/s:default'] })
  expect(daemon.of(`POST /sandboxes/${ID}/timeout`)[0]?.body).toBe('{"timeout":1}')
  expect(daemon.of(`POST /sandboxes/${ID}/snapshots`)[0]?.body).toBe('{"name":"s"}')
})

test('forks come all or not at all', async () => {
  const killed: string[] = []
  let isBroken = false
  const { door } = await opened({
    'POST /caisson/v1/sandboxes': ({ reply }) => json(reply, 201, made),
    [`POST /sandboxes/${ID}/fork`]: ({ reply }) => {
      const forks = ['i1', 'i2'].map((sandboxID) => ({ sandbox: { ...made, sandboxID } }))
      const error = { error: { code: 503, message: 'full. Wait.', error_code: 'overloaded', hint: 'Wait.' } }
      json(reply, 201, isBroken ? [...forks, error] : forks)
    },
    ...Object.fromEntries(
      ['i1', 'i2'].map((id): [string, Script[string]] => [
        `DELETE /sandboxes/${id}`,
        ({ reply }) => {
          killed.push(id)
          reply.writeHead(204).end()
        },
      ]),
    ),
  })
  const sandbox = await Sandbox.create({ door, metadata: { a: 'b' } })
  const forks = await sandbox.fork({ count: 2, timeoutMs: 1500 })
  expect(forks.map(({ id, metadata }) => [id, metadata])).toEqual([
    ['i1', { a: 'b' }],
    ['i2', { a: 'b' }],
  ])
  expect(killed).toEqual([])
  isBroken = true
  await expect(sandbox.fork({ count: 3 })).rejects.toMatchObject({ code: 'OVERLOADED', message: 'full', hint: 'Wait.' })
  expect(killed.sort()).toEqual(['i1', 'i2'])
})

const STANDING = `GET /caisson/v1/sandboxes/${ID}`
const death = { id: ID, reason: 'kill', detail: 'on request', startedMs: 1, endedMs: 2, peakMemoryBytes: 3, cpuUs: 4 }

test('kill says why it ended, also when it had ended before, or is forgotten', async () => {
  let kills = 0
  const { daemon, door } = await opened({
    'POST /caisson/v1/sandboxes': ({ reply }) => json(reply, 201, made),
    [`DELETE /sandboxes/${ID}`]: ({ reply }) => {
      kills += 1
      if (kills === 1) reply.writeHead(204).end()
      else json(reply, 404, { code: 404, message: 'no' })
    },
    [STANDING]: ({ reply }) => json(reply, 200, { state: 'gone', death }),
  })
  const sandbox = await Sandbox.create({ door })
  expect(await sandbox.kill()).toEqual(death)
  expect(await sandbox.kill()).toEqual(death)
  expect(await sandbox.ended).toEqual(death)
  delete daemon.script[STANDING]
  expect(await (await Sandbox.create({ door })).kill()).toMatchObject({ id: ID, reason: 'abandoned' })
})

test('the end of a sandbox is heard of, also across a restart of its daemon, and nobody listens unasked', async () => {
  let isGone = false
  const listening: ServerResponse[] = []
  const { daemon, door } = await opened({
    'POST /caisson/v1/sandboxes': ({ reply }) => json(reply, 201, made),
    'GET /caisson/v1/events': ({ reply }) => {
      listening.push(reply)
      reply.writeHead(200).flushHeaders()
    },
    [STANDING]: ({ reply }) => json(reply, 200, isGone ? { state: 'gone', death } : { state: 'running' }),
  })
  const sandbox = await Sandbox.create({ door })
  expect(daemon.asked).toHaveLength(1)
  const ended = sandbox.ended
  await expect.poll(() => daemon.of(STANDING).length).toBe(1)
  expect(daemon.of('GET /caisson/v1/events')[0]?.line).toBe(`GET /caisson/v1/events?sandbox=${ID}`)
  listening[0]?.write('{"kind":"resumed"}\n')
  await expect.poll(() => daemon.of(STANDING).length).toBe(2)
  await daemon.die()
  await daemon.listen()
  await expect.poll(() => daemon.of(STANDING).length, { timeout: 10_000 }).toBe(3)
  isGone = true
  listening[1]?.write('{"kind":"gone"}\n')
  expect(await ended).toEqual(death)
  await expect.poll(() => listening[1]?.destroyed).toBe(true)
})

test('a key that no header can carry is refused', () => {
  expect(() => new RemoteDoor({ url: 'http://127.0.0.1:1', key: 'a\nb' })).toThrow(expect.objectContaining({ code: 'BAD_REQUEST' }))
})
