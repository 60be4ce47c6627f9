import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MAX_CONNECTIONS } from '../../wire/index.ts'
import { SpecDaemon } from './daemon.ts'

// Connections are bounded: those that come when all are taken are let go at once, and when some leave there is room again.

let daemon: SpecDaemon
const open: Socket[] = []
beforeAll(async () => {
  daemon = await SpecDaemon.open()
})
afterAll(async () => {
  for (const socket of open) socket.destroy()
  await daemon[Symbol.asyncDispose]()
})

const AT_ONCE = 256

async function dial(count: number): Promise<Socket[]> {
  const port = Number(new URL(daemon.url).port)
  const sockets = Array.from({ length: count }, () => connect(port, '127.0.0.1').on('error', () => undefined))
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  open.push(...sockets)
  return sockets
}

async function health(): Promise<string> {
  return fetch(`${daemon.url}/health`, { headers: { connection: 'close' }, signal: AbortSignal.timeout(10_000) }).then(
    ({ status }) => String(status),
    () => 'refused',
  )
}

test(`the ${MAX_CONNECTIONS + 1}th connection is let go; the others stay, and what leaves makes room`, { timeout: 120_000 }, async () => {
  expect(await health()).toBe('200')
  for (let made = 0; made < MAX_CONNECTIONS; made += AT_ONCE) await dial(Math.min(AT_ONCE, MAX_CONNECTIONS - made))
  const [late] = await dial(1)
  await once(late as Socket, 'close')
  expect(await health()).toBe('refused')
  const [first] = open
  first?.write('GET /health HTTP/1.1\r\nHost: x\r\n\r\n')
  const [answer] = (await once(first as Socket, 'data')) as [Buffer]
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 200 /)
  for (const socket of open.splice(0, 100)) socket.destroy()
  for (const end = Date.now() + 10_000; (await health()) !== '200' && Date.now() < end; ) await pause(50)
  expect(await health()).toBe('200')
})
