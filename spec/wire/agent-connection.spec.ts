import { INITIAL_WINDOW_BYTES, MAX_DATA_BYTES, MAX_STREAMS } from '@caisson/wire'
import { Data_Channel as Channel } from '@caisson/wire/agent'
import { describe, expect, test } from 'vitest'
import type { Operation } from '../../host/agent/connection.ts'
import type { FrameInit } from '../../host/agent/frames.ts'
import { FakeAgent } from './fake-agent.ts'

const signal = new AbortController().signal
const START: Operation = { case: 'start', value: { command: 'true' } }
const READ: Operation = { case: 'readFile', value: { path: '/a' } }
const WATCH: Operation = { case: 'watch', value: { path: '/a' } }
const what = 'the operation'
const data = (channel: Channel, length: number, end = false): NonNullable<FrameInit['body']> => ({
  case: 'data',
  value: { channel, payload: new Uint8Array(length), end },
})

function twice(act: () => void) {
  act()
  act()
}

test('hello and the first operation leave in one write', async () => {
  await using agent = await FakeAgent.start()
  agent.connection.open({ case: 'attach', value: { pid: 7 } }, { what }, signal)
  await agent.heard('attach')
  expect(agent.chunks[0]?.map(({ stream, body }) => [stream, body.case === 'open' && body.value.operation.case])).toEqual([
    [1, 'hello'],
    [2, 'attach'],
  ])
})

describe('what the rules do not allow ends the connection', () => {
  const opened = { case: 'started', value: { pid: 5 } } as const
  const cases: [string, Operation, (agent: FakeAgent) => void][] = [
    ['a stream that was never opened', START, (agent) => agent.close(99)],
    ['Data before Opened', START, (agent) => agent.say(2, data(Channel.STDOUT, 1))],
    ['an Opened of another operation', START, (agent) => agent.opened(2, { case: 'done', value: {} })],
    ['an Opened of nothing', START, (agent) => agent.say(2, { case: 'opened', value: {} })],
    ['two Opened', START, (agent) => twice(() => agent.opened(2, opened))],
    ['success without Opened', START, (agent) => agent.close(2)],
    ['a Close with a code of its own', START, (agent) => agent.close(2, 'made_up')],
    ['a code that is a name of Object', START, (agent) => agent.close(2, 'constructor')],
    ['a Window that was not earned', START, (agent) => agent.say(2, { case: 'window', value: { bytes: 1 } })],
    [
      'a frame that only a host sends',
      START,
      (agent) => agent.say(2, { case: 'control', value: { action: { case: 'signal', value: 9 } } }),
    ],
    ['a frame without a body', START, (agent) => agent.say(2, { case: undefined } as never)],
  ]
  const afterOpened: typeof cases = [
    ['Data on a channel of terminals', START, (agent) => agent.say(2, data(Channel.PTY, 1))],
    ['Data on a control channel that was not asked for', START, (agent) => agent.say(2, data(Channel.CONTROL, 1))],
    ['Data on the channel of the host', START, (agent) => agent.say(2, data(Channel.STDIN, 1))],
    ['Data with nothing in it', START, (agent) => agent.say(2, data(Channel.STDOUT, 0))],
    ['Data over its limit', START, (agent) => agent.say(2, data(Channel.STDOUT, MAX_DATA_BYTES + 1))],
    [
      'Data after the end of its channel',
      START,
      (agent) => {
        agent.say(2, data(Channel.STDOUT, 1, true))
        agent.say(2, data(Channel.STDOUT, 1))
      },
    ],
    [
      'more Data than there is credit for',
      START,
      (agent) => {
        for (let sent = 0; sent < INITIAL_WINDOW_BYTES; sent += MAX_DATA_BYTES) agent.say(2, data(Channel.STDOUT, MAX_DATA_BYTES))
        agent.say(2, data(Channel.STDERR, 1))
      },
    ],
    ['an Event of another operation', START, (agent) => agent.say(2, { case: 'event', value: { what: { case: 'file', value: {} } } })],
    ['an Event of nothing', START, (agent) => agent.say(2, { case: 'event', value: {} })],
    ['two Close', START, (agent) => twice(() => agent.close(2))],
  ]

  test.each([...cases.map((one) => [...one, false] as const), ...afterOpened.map((one) => [...one, true] as const)])(
    '%s',
    async (_name, operation, misbehave, isOpened) => {
      await using agent = await FakeAgent.start()
      const stream = agent.connection.open(operation, { what }, signal)
      const bystander = agent.connection.open({ case: 'metrics', value: {} }, { what }, signal)
      await agent.heard('metrics')
      if (isOpened) agent.opened(2, { case: 'started', value: { pid: 5 } })
      misbehave(agent)
      await expect(agent.connection.lost).resolves.toMatchObject({ code: 'WIRE_VIOLATION' })
      await expect(bystander.opened).rejects.toMatchObject({ code: 'WIRE_VIOLATION' })
      await agent.until(() => agent.isClosed)
      expect(() => agent.connection.open(START, { what }, signal)).toThrow(expect.objectContaining({ code: 'WIRE_VIOLATION' }))
      stream.opened.catch(() => undefined)
    },
  )

  test('a hello of a generation from the future', async () => {
    await using agent = await FakeAgent.start()
    await agent.heard('hello')
    agent.opened(1, { case: 'hello', value: { generation: 99 } })
    await expect(agent.connection.lost).resolves.toMatchObject({ code: 'WIRE_VIOLATION' })
  })
})

describe('an agent that takes nothing', () => {
  test('is sent so much and no more, whoever gives up, and goes on with what waits when it takes again', async () => {
    await using agent = await FakeAgent.start()
    await agent.heard('hello')
    agent.listen(false)
    const streams = Array.from({ length: 32 }, () => agent.connection.open({ case: 'writeFile', value: { path: '/a' } }, { what }, signal))
    let sent = 0
    const sending = streams.map((stream) =>
      stream.send(Channel.FILE, new Uint8Array(INITIAL_WINDOW_BYTES), true, signal).then(() => {
        sent += 1
      }),
    )
    // All that could go has gone: what a socket holds, and what the host does.
    await new Promise((resolve) => setImmediate(resolve))
    expect(sent).toBeLessThan(8)
    const long = 'x'.repeat(200_000)
    let begun = 0
    const begin = () => {
      for (; begun < MAX_STREAMS; begun += 1) {
        const given = new AbortController()
        const stream = agent.connection.open({ case: 'start', value: { command: long } }, { what }, given.signal)
        stream.opened.catch(() => undefined)
        stream.closed.catch(() => undefined)
        given.abort()
      }
    }
    expect(begin).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }))
    expect(begun).toBeLessThan(100)
    agent.listen(true)
    await Promise.all(sending)
    await agent.heard('writeFile', streams.length)
  })
})

describe('credit', () => {
  test('a reader that stalls stalls its own stream only, and gives credit back as it reads', async () => {
    await using agent = await FakeAgent.start()
    const slow = agent.connection.open(READ, { what }, signal)
    const quick = agent.connection.open(READ, { what }, signal)
    await agent.heard('readFile', 2)
    for (const stream of [2, 3]) agent.opened(stream, { case: 'entry', value: {} })
    for (let sent = 0; sent < INITIAL_WINDOW_BYTES; sent += MAX_DATA_BYTES) agent.say(2, data(Channel.FILE, MAX_DATA_BYTES))
    agent.say(3, data(Channel.FILE, 10))
    expect((await quick.take())?.bytes.length).toBe(10)
    expect(agent.frames.some(({ body }) => body.case === 'window')).toBe(false)
    let taken = 0
    while (taken < INITIAL_WINDOW_BYTES / 2) taken += (await slow.take())?.bytes.length ?? 0
    const first = await agent.heard('window')
    expect(first.stream).toBe(2)
    agent.say(2, data(Channel.FILE, MAX_DATA_BYTES))
    while (taken < INITIAL_WINDOW_BYTES + MAX_DATA_BYTES) taken += (await slow.take())?.bytes.length ?? 0
    agent.close(2)
    expect(await slow.take()).toBeUndefined()
  })

  test('a sender waits when its credit is used up, goes on when it is given more, and never passes it', async () => {
    await using agent = await FakeAgent.start()
    const stream = agent.connection.open({ case: 'writeFile', value: { path: '/a' } }, { what }, signal)
    const bytes = new Uint8Array(INITIAL_WINDOW_BYTES + 5).map((_, index) => index % 251)
    const sending = stream.send(Channel.FILE, bytes, true, signal)
    const received = () => agent.frames.flatMap(({ body }) => (body.case === 'data' ? [body.value] : []))
    const total = () => received().reduce((sum, { payload }) => sum + payload.length, 0)
    await agent.until(() => total() === INITIAL_WINDOW_BYTES)
    expect(received().every(({ payload, end }) => payload.length <= MAX_DATA_BYTES && !end)).toBe(true)
    agent.say(2, { case: 'window', value: { bytes: 100 } })
    await sending
    await agent.until(() => total() === bytes.length)
    expect(Buffer.concat(received().map(({ payload }) => payload)).equals(bytes)).toBe(true)
    expect(received().at(-1)?.end).toBe(true)
  })
})

describe('giving up', () => {
  test('an aborted operation says so to the agent and drops what still comes', async () => {
    await using agent = await FakeAgent.start()
    const abort = new AbortController()
    const stream = agent.connection.open(READ, { what }, abort.signal)
    await agent.heard('readFile')
    agent.opened(2, { case: 'entry', value: {} })
    await stream.opened
    abort.abort(new Error('enough'))
    await expect(stream.take()).rejects.toMatchObject({ code: 'CANCELLED', cause: expect.objectContaining({ message: 'enough' }) })
    expect((await agent.heard('close')).stream).toBe(2)
    agent.say(2, data(Channel.FILE, 10))
    agent.close(2, 'cancelled')
    await expect(stream.take()).rejects.toMatchObject({ code: 'CANCELLED' })
    // The connection is as good as before.
    const next = agent.connection.open({ case: 'metrics', value: {} }, { what }, signal)
    await agent.heard('metrics')
    agent.opened(3, { case: 'metrics', value: { processes: 4 } })
    expect(await next.opened).toMatchObject({ value: { processes: 4 } })
  })

  test('what the agent did too late is undone, and what it still says is taken and dropped', async () => {
    await using agent = await FakeAgent.start()
    const abort = new AbortController()
    const undo = () => ({ case: 'control', value: { action: { case: 'signal', value: 9 } } }) as const
    const stream = agent.connection.open(START, { what, undo }, abort.signal)
    await agent.heard('start')
    abort.abort()
    await expect(stream.opened).rejects.toMatchObject({ code: 'CANCELLED' })
    agent.opened(2, { case: 'started', value: { pid: 5 } })
    await agent.heard('control')
    for (let sent = 0; sent < INITIAL_WINDOW_BYTES; sent += MAX_DATA_BYTES) agent.say(2, data(Channel.STDOUT, MAX_DATA_BYTES))
    await agent.heard('window', 4)
    expect(agent.frames.filter(({ stream }) => stream === 2).map(({ body }) => body.case)).toEqual([
      'open',
      'control',
      ...Array(4).fill('window'),
    ])
    agent.say(2, { case: 'event', value: { what: { case: 'exit', value: { signal: 9 } } } })
    agent.close(2)
    await expect(stream.take()).rejects.toMatchObject({ code: 'CANCELLED' })
  })

  test('a lost connection is told to everyone who waits', async () => {
    await using agent = await FakeAgent.start()
    const stream = agent.connection.open(WATCH, { what }, signal)
    await agent.heard('watch')
    agent.hangUp()
    await expect(stream.closed).rejects.toMatchObject({ code: 'AGENT_LOST' })
    await expect(stream.take()).rejects.toMatchObject({ code: 'AGENT_LOST' })
    await expect(agent.connection.lost).resolves.toMatchObject({ code: 'AGENT_LOST' })
  })

  test('nobody who listens there is a lost connection too', async () => {
    await using agent = await FakeAgent.start()
    const { AgentConnection } = await import('../../host/agent/connection.ts')
    const nobody = AgentConnection.to('/proc/nobody/agent.sock')
    await expect(nobody.lost).resolves.toMatchObject({ code: 'AGENT_LOST' })
    expect(agent.isClosed).toBe(false)
  })
})

test('more operations at once than the agent takes are refused here', async () => {
  await using agent = await FakeAgent.start()
  const open = () => agent.connection.open({ case: 'metrics', value: {} }, { what }, signal)
  for (let count = 1; count < MAX_STREAMS; count += 1) open()
  expect(open).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }))
})
