import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MAX_CONNECTIONS } from '../../wire/index.ts'
import { SpecDaemon } from './daemon.ts'

// Connections are bounded. Whoever only keeps them open keeps nobody out: when all are taken, a new one has the place of one that has said nothing.

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

test(`when there are ${MAX_CONNECTIONS} connections on which nobody asks for anything, others are served`, {
  timeout: 120_000,
}, async () => {
  for (const socket of open.splice(0)) socket.destroy()
  expect(await health()).toBe('200')
  for (let made = 0; made < MAX_CONNECTIONS; made += AT_ONCE) await dial(Math.min(AT_ONCE, MAX_CONNECTIONS - made))
  const [first, last] = [open[0] as Socket, open.at(-1) as Socket]
  const gone = once(first, 'close')
  for (let asked = 0; asked < 3; asked += 1) expect(await health()).toBe('200')
  await gone
  expect(last.destroyed).toBe(false)
  last.write('GET /health HTTP/1.1\r\nHost: x\r\n\r\n')
  const [answer] = (await once(last, 'data')) as [Buffer]
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 200 /)
})
