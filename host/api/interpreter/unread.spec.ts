import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Visit } from '../call.ts'
import { StreamedAnswer } from '../streamed-answer.ts'
import { unread } from './unread.ts'

const PIECE = Buffer.alloc(60 * 1024 * 1024, 'x')
const rooms = { fleet: {} }

let server: Server
let replies: ServerResponse[]
let clients: Socket[]
beforeEach(async () => {
  replies = []
  clients = []
  server = createServer((request, reply) => {
    const visit = { rooms, request, reply, entered: { record: { owner: request.url } } } as unknown as Visit
    replies.push(reply)
    const answer = new StreamedAnswer(reply, {}, 0, unread(visit))
    void answer.say(PIECE)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterEach(() => {
  for (const client of clients) client.destroy()
  server.close()
})

/** Asks, and does not read; resolves when the answer has been written, or its connection is over. */
async function ask(owner: string): Promise<{ client: Socket; reply: ServerResponse }> {
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1').pause()
  client.on('error', () => undefined)
  clients.push(client)
  client.write(`GET ${owner} HTTP/1.1\r\nHost: x\r\n\r\n`)
  const [, reply] = (await once(server, 'request')) as [unknown, ServerResponse]
  while (!reply.destroyed && reply.writableLength < PIECE.length / 2) await new Promise(setImmediate)
  return { client, reply }
}

test('where an owner leaves too much unread, whoever comes next and does not read is broken off; another owner is not', async () => {
  const [first, ...more] = [await ask('/one'), await ask('/one'), await ask('/one'), await ask('/one')]
  expect([first, ...more].map(({ reply }) => reply.destroyed)).toEqual([false, false, false, false])
  expect((await ask('/one')).reply.destroyed).toBe(true)
  expect((await ask('/two')).reply.destroyed).toBe(false)
  // What is read makes room, and what has ended.
  first?.client.destroy()
  await once(first?.reply as ServerResponse, 'close')
  expect((await ask('/one')).reply.destroyed).toBe(false)
  expect((await ask('/one')).reply.destroyed).toBe(true)
})
