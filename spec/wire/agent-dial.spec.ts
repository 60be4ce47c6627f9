import { setImmediate as turn } from 'node:timers/promises'
import { Data_Channel as Channel } from '@caisson/wire/agent'
import { expect, test } from 'vitest'
import { dial } from '../../host/agent/dial.ts'
import { INITIAL_WINDOW_BYTES } from '../../wire/index.ts'
import { FakeAgent } from './fake-agent.ts'

// A connection to a port inside is a stream like any other of Node's, whatever the agent makes of it.

const signal = new AbortController().signal
const TUNNEL = { allowHalfOpen: true }
const data = (text: string, end = false) => ({
  case: 'data' as const,
  value: { channel: Channel.TCP, payload: new Uint8Array(Buffer.from(text)), end },
})

async function dialled(agent: FakeAgent, options = TUNNEL) {
  const dialling = dial(agent.connection, 80, options, signal)
  const { stream } = await agent.heard('dial')
  agent.opened(stream, { case: 'done', value: {} })
  return { socket: await dialling, stream }
}

test('nothing at 127.0.0.1: the other loopback is tried, and the first refusal is told', async () => {
  await using agent = await FakeAgent.start()
  const dialling = dial(agent.connection, 80, TUNNEL, signal)
  agent.close((await agent.heard('dial', 1)).stream, 'refused', 'connect to 127.0.0.1:80')
  const second = await agent.heard('dial', 2)
  expect(second.body).toMatchObject({ value: { operation: { value: { host: '::1', port: 80 } } } })
  agent.close(second.stream, 'failed', 'no such address')
  await expect(dialling).rejects.toMatchObject({ code: 'NOT_FOUND', message: expect.stringContaining('127.0.0.1:80') })
})

test('one that is given up while it is made is closed inside, too', async () => {
  await using agent = await FakeAgent.start()
  const abort = new AbortController()
  const dialling = dial(agent.connection, 80, TUNNEL, abort.signal)
  const { stream } = await agent.heard('dial')
  abort.abort()
  await expect(dialling).rejects.toMatchObject({ code: 'CANCELLED' })
  expect((await agent.heard('close')).stream).toBe(stream)
  // Once it stands, the signal that it was made with means nothing.
  const other = new AbortController()
  const standing = dial(agent.connection, 80, TUNNEL, other.signal)
  agent.opened((await agent.heard('dial', 2)).stream, { case: 'done', value: {} })
  const socket = await standing
  other.abort()
  await turn()
  expect(socket.destroyed).toBe(false)
  socket.destroy()
})

test('each way ends for itself', async () => {
  await using agent = await FakeAgent.start()
  const { socket, stream } = await dialled(agent)
  agent.say(stream, data('last', true))
  let came = ''
  for await (const piece of socket.iterator({ destroyOnReturn: false })) came += piece
  expect(came).toBe('last')
  socket.end('still there')
  const sent = await agent.until(() => agent.frames.filter(({ body }) => body.case === 'data').at(-1))
  expect(sent.body).toMatchObject({ value: { channel: Channel.TCP } })
  await agent.until(() => agent.frames.some(({ body }) => body.case === 'data' && body.value.end))
  await turn()
  // It closes the stream when the program has taken all of it; telling it to would drop what it holds.
  expect(agent.frames.some(({ body }) => body.case === 'close')).toBe(false)
  agent.close(stream)
})

test('without halves, the end of what comes is the end of it', async () => {
  await using agent = await FakeAgent.start()
  const { socket, stream } = await dialled(agent, { allowHalfOpen: false })
  const closed = new Promise((resolve) => socket.once('close', resolve))
  agent.say(stream, data('', true))
  socket.resume()
  await closed
  await agent.until(() => agent.frames.some(({ body }) => body.case === 'data' && body.value.end))
})

test('what had come is read before the failure that followed it', async () => {
  await using agent = await FakeAgent.start()
  const { socket, stream } = await dialled(agent)
  agent.say(stream, data('an answer'))
  agent.close(stream, 'failed', 'write: Broken pipe')
  await turn()
  socket.write('nobody takes this')
  let came = ''
  const reading = (async () => {
    for await (const piece of socket) came += piece
  })()
  await expect(reading).rejects.toMatchObject({ code: 'INTERNAL' })
  expect(came).toBe('an answer')
})

test('a failure that nobody reads for ends it', async () => {
  await using agent = await FakeAgent.start()
  const { socket } = await dialled(agent)
  const failed = new Promise((resolve) => socket.once('error', resolve))
  agent.hangUp()
  expect(await failed).toMatchObject({ code: 'AGENT_LOST' })
})

test('nothing is taken before somebody reads, nothing is sent beyond the credit', async () => {
  await using agent = await FakeAgent.start()
  const { socket, stream } = await dialled(agent)
  const piece = 'x'.repeat(64 * 1024)
  for (let sent = 0; sent < INITIAL_WINDOW_BYTES; sent += piece.length) agent.say(stream, data(piece))
  socket.write(Buffer.alloc(2 * INITIAL_WINDOW_BYTES))
  const bytesSent = () => agent.frames.reduce((sum, { body }) => sum + (body.case === 'data' ? body.value.payload.length : 0), 0)
  await agent.until(() => bytesSent() === INITIAL_WINDOW_BYTES)
  // The reader's buffer is full, the rest waits; so do we.
  expect(agent.frames.filter(({ body }) => body.case === 'window')).toEqual([])
  agent.say(stream, { case: 'window', value: { bytes: INITIAL_WINDOW_BYTES } })
  await agent.until(() => bytesSent() === 2 * INITIAL_WINDOW_BYTES)
  let came = 0
  socket.on('data', (bytes: Buffer) => {
    came += bytes.length
  })
  await agent.until(() => agent.frames.filter(({ body }) => body.case === 'window').length >= 3)
  while (came < INITIAL_WINDOW_BYTES) await turn()
  socket.destroy()
  expect((await agent.heard('close')).stream).toBe(stream)
})
