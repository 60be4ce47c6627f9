import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { MAX_REQUESTS, MAX_SANDBOX_REQUESTS } from '../../wire/index.ts'
import { Door, KEY, OPERATOR_KEY } from './door.ts'

// Requests under way are bounded by sandbox and by owner: whoever has many leaves room for others.

const HEAD = `Host: x\r\nX-API-Key: ${KEY}\r\n`
const envd = { 'e2b-sandbox-id': 'i1', 'e2b-sandbox-port': '49983' }

test('one sandbox takes so many requests at once; others have room', async () => {
  // Eight hundred clients at once may be slow, on a busy machine.
  await using patient = await Door.open((one) => one.sandboxes.set('i1', {}).set('i2', {}))
  const started: (() => void)[] = []
  patient.serveEnvd = (visit) =>
    visit.entered.record.id === 'i2'
      ? Promise.resolve(void visit.reply.end('other'))
      : new Promise((resolve) => {
          started.push(() => resolve(void visit.reply.end('late')))
        })
  const waiting = Array.from({ length: MAX_SANDBOX_REQUESTS }, () => fetch(patient.url, { headers: envd }))
  while (started.length < MAX_SANDBOX_REQUESTS) await pause(10)
  const refused = await fetch(patient.url, { headers: envd })
  expect([refused.status, refused.headers.get('retry-after'), await refused.json()]).toEqual([
    429,
    '1',
    expect.objectContaining({ sandboxId: 'i1', code: 429 }),
  ])
  expect(await (await fetch(patient.url, { headers: { ...envd, 'e2b-sandbox-id': 'i2' } })).text()).toBe('other')
  for (const answer of started) answer()
  for (const reply of await Promise.all(waiting)) expect(await reply.text()).toBe('late')
  const again = fetch(patient.url, { headers: envd })
  while (started.length === MAX_SANDBOX_REQUESTS) await pause(5)
  started.at(-1)?.()
  expect((await again).status).toBe(200)
})

test('one owner takes half of all at the most, however many sandboxes are its own; another has room', async () => {
  await using patient = await Door.open((one) => {
    for (let at = 1; at <= 5; at += 1) one.sandboxes.set(`i${at}`, {})
  })
  const started: (() => void)[] = []
  patient.serveEnvd = (visit) =>
    new Promise((resolve) => {
      started.push(() => resolve(void visit.reply.end('late')))
    })
  // Many on each connection: they count all the same.
  const each = 48
  const sockets = Array.from({ length: MAX_REQUESTS / 2 / each }, (_, at) => {
    const socket = connect(patient.port, '127.0.0.1')
    const request = `GET / HTTP/1.1\r\nHost: x\r\nE2b-Sandbox-Id: i${1 + (at % 4)}\r\nE2b-Sandbox-Port: 49983\r\n\r\n`
    socket.write(request.repeat(each))
    return socket
  })
  while (started.length < MAX_REQUESTS / 2) await pause(10)
  const asked = async (path: string, headers: Record<string, string>) => {
    const reply = await fetch(`${patient.url}${path}`, { headers })
    return [reply.status, reply.headers.get('retry-after'), await reply.json()]
  }
  const message = 'Too many requests to this sandbox and others of its owner are under way'
  expect(await asked('/', { ...envd, 'e2b-sandbox-id': 'i5' })).toEqual([429, '1', { sandboxId: 'i5', message, code: 429 }])
  for (const [key, owner] of [
    [KEY, 'somebody'],
    [OPERATOR_KEY, 'operator'],
  ] as const) {
    expect(await asked('/sandboxes/x', { 'x-api-key': key })).toEqual([200, null, { id: 'x', owner }])
  }
  for (const answer of started) answer()
  for (const socket of sockets) socket.destroy()
  patient.serveEnvd = async ({ reply }) => void reply.end('{}')
  await expect.poll(() => asked('/', { ...envd, 'e2b-sandbox-id': 'i5' }), { timeout: 10_000 }).toEqual([200, null, {}])
})

test('so do the requests that it makes with its key', async () => {
  await using patient = await Door.open((one) => {
    one.routes.push({ method: 'GET', path: '/patient', handle: () => new Promise(() => undefined) })
  })
  const each = 48
  const sockets = Array.from({ length: MAX_REQUESTS / 2 / each }, () => {
    const socket = connect(patient.port, '127.0.0.1')
    socket.write(`GET /patient HTTP/1.1\r\n${HEAD}\r\n`.repeat(each))
    return socket
  })
  const asked = async (key: string) => {
    const reply = await fetch(`${patient.url}/sandboxes/x`, { headers: { 'x-api-key': key } })
    return [reply.status, reply.headers.get('retry-after'), ((await reply.json()) as { message?: string }).message]
  }
  await expect
    .poll(() => asked(KEY), { timeout: 10_000 })
    .toEqual([429, '1', expect.stringContaining('too many requests of somebody are under way')])
  expect(await asked(OPERATOR_KEY)).toEqual([200, null, undefined])
  for (const socket of sockets) socket.destroy()
  await expect.poll(() => asked(KEY), { timeout: 10_000 }).toEqual([200, null, undefined])
})
