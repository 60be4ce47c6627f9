import type { FileChange } from '@caisson/wire'
import { Data_Channel as Channel, Entry_Kind, FileEvent_Kind } from '@caisson/wire/agent'
import { expect, test } from 'vitest'
import { AgentFiles } from '../../host/agent/files.ts'
import { FakeAgent } from './fake-agent.ts'

const signal = new AbortController().signal
const entry = (path: string) => ({ path, kind: Entry_Kind.FILE, size: 3n, mode: 0o100644, owner: 'user', group: 'user', modifiedUs: 5000n })

test('what the agent refuses comes out under the code of the catalogue, its words made harmless', async () => {
  const codes = [
    ['not_found', 'FILE_MISSING'],
    ['denied', 'FILE_DENIED'],
    ['exists', 'FILE_EXISTS'],
    ['not_directory', 'FILE_KIND'],
    ['is_directory', 'FILE_KIND'],
    ['special_file', 'FILE_KIND'],
    ['invalid', 'BAD_REQUEST'],
    ['no_user', 'USER_UNKNOWN'],
    ['no_space', 'LIMIT_HIT'],
    ['unsupported', 'UNSUPPORTED'],
    ['failed', 'INTERNAL'],
  ] as const
  await using agent = await FakeAgent.start()
  const files = new AgentFiles(agent.connection)
  for (const [index, [close, code]] of codes.entries()) {
    const statting = files.stat('/a', {}, signal)
    const { stream } = await agent.heard('stat', index + 1)
    agent.close(stream, close, `bad\u001b[31m\nnews ${'x'.repeat(10_000)}`)
    const failure = await statting.catch((caught: unknown) => caught)
    expect(failure).toMatchObject({ code })
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect((failure as Error).message).not.toMatch(/[\u0000-\u001f]/)
    expect((failure as Error).message.length).toBeLessThan(700)
  }
})

test('a read that stops early tells the agent', async () => {
  await using agent = await FakeAgent.start()
  const reading = (async () => {
    for await (const bytes of new AgentFiles(agent.connection).read('/a', {}, signal)) return bytes.length
    return 0
  })()
  const { stream } = await agent.heard('readFile')
  agent.opened(stream, { case: 'entry', value: entry('/a') })
  agent.say(stream, { case: 'data', value: { channel: Channel.FILE, payload: new Uint8Array(9) } })
  expect(await reading).toBe(9)
  expect((await agent.heard('close')).stream).toBe(stream)
})

test('a write that runs out of space fails for that reason, not for the end of its stream', async () => {
  await using agent = await FakeAgent.start()
  const writing = new AgentFiles(agent.connection).write('/a', new Uint8Array(3 * 1024 * 1024), {}, signal)
  const { stream } = await agent.heard('writeFile')
  agent.opened(stream, { case: 'done', value: {} })
  await agent.heard('data', 8)
  agent.close(stream, 'no_space')
  await expect(writing).rejects.toMatchObject({ code: 'LIMIT_HIT' })
})

test('a source that fails leaves no half-written file: the agent is told to drop it, the source says why', async () => {
  await using agent = await FakeAgent.start()
  async function* source() {
    yield new Uint8Array(5)
    throw new Error('the source broke')
  }
  const writing = new AgentFiles(agent.connection).write('/a', source(), {}, signal)
  const { stream } = await agent.heard('writeFile')
  agent.opened(stream, { case: 'done', value: {} })
  await expect(writing).rejects.toThrow('the source broke')
  expect((await agent.heard('close')).stream).toBe(stream)
  expect(agent.frames.some(({ body }) => body.case === 'data' && body.value.end)).toBe(false)
})

test('a listing keeps its order over pages, and one without end is refused', async () => {
  await using agent = await FakeAgent.start()
  const files = new AgentFiles(agent.connection)
  const listing = files.list('/', { depth: 2 }, signal)
  const first = await agent.heard('listDir')
  agent.opened(first.stream, { case: 'entries', value: { entries: [entry('/a'), entry('/b')] } })
  agent.say(first.stream, { case: 'event', value: { what: { case: 'entries', value: { entries: [entry('/c')] } } } })
  agent.close(first.stream)
  expect((await listing).map(({ path, name, mode, modifiedMs }) => [path, name, mode, modifiedMs])).toEqual([
    ['/a', 'a', 0o644, 5],
    ['/b', 'b', 0o644, 5],
    ['/c', 'c', 0o644, 5],
  ])
  const endless = files.list('/', {}, signal)
  const second = await agent.heard('listDir', 2)
  agent.opened(second.stream, { case: 'entries', value: { entries: [] } })
  const page = Array.from({ length: 1000 }, (_, index) => entry(`/${index}`))
  for (let pages = 0; pages < 201; pages += 1) {
    agent.say(second.stream, { case: 'event', value: { what: { case: 'entries', value: { entries: page } } } })
  }
  await expect(endless).rejects.toMatchObject({ code: 'BAD_REQUEST', message: expect.stringContaining('more than') })
})

test('a listing is bounded by all that its entries say, not by their number alone', async () => {
  await using agent = await FakeAgent.start()
  const listing = new AgentFiles(agent.connection).list('/', {}, signal)
  const { stream } = await agent.heard('listDir')
  agent.opened(stream, { case: 'entries', value: { entries: [] } })
  const page = [0, 1, 2].map((index) => ({ ...entry(`/${index}`), attributes: { note: 'n'.repeat(64 * 1024) } }))
  for (let pages = 0; pages < 400; pages += 1) {
    agent.say(stream, { case: 'event', value: { what: { case: 'entries', value: { entries: page } } } })
  }
  agent.close(stream)
  await expect(listing).rejects.toMatchObject({ code: 'BAD_REQUEST', message: expect.stringContaining('bytes of them') })
})

/** What is there to be read of all that was said. */
async function kept(agent: FakeAgent, changes: AsyncIterable<FileChange>): Promise<string[]> {
  // Everything has arrived when what was sent after it has.
  const later = agent.connection.open({ case: 'metrics', value: {} }, { what: 'metrics' }, signal)
  agent.opened((await agent.heard('metrics')).stream, { case: 'metrics', value: {} })
  await later.opened
  const seen: string[] = []
  for await (const { kind } of changes) seen.push(kind)
  return seen
}

test('nor are changes kept that are few and long', async () => {
  await using agent = await FakeAgent.start()
  const changes = new AgentFiles(agent.connection).watch('/a', { includeEntry: true }, signal)
  const { stream } = await agent.heard('watch')
  agent.opened(stream, { case: 'done', value: {} })
  const long = { ...entry('/a/f'), attributes: { note: 'n'.repeat(64 * 1024) } }
  const change = { kind: FileEvent_Kind.WRITE, name: 'f', entry: long }
  for (let count = 0; count < 200; count += 1) agent.say(stream, { case: 'event', value: { what: { case: 'file', value: change } } })
  agent.close(stream)
  const seen = await kept(agent, changes)
  expect(seen.at(-1)).toBe('overflow')
  expect(seen.length).toBeLessThan(50)
})

test('changes that nobody reads are dropped at a bound, and the reader is told', async () => {
  await using agent = await FakeAgent.start()
  const changes = new AgentFiles(agent.connection).watch('/a', {}, signal)
  const { stream } = await agent.heard('watch')
  agent.opened(stream, { case: 'done', value: {} })
  const change = { kind: FileEvent_Kind.CREATE, name: 'f' }
  for (let count = 0; count < 10_000; count += 1) agent.say(stream, { case: 'event', value: { what: { case: 'file', value: change } } })
  agent.close(stream)
  const seen = await kept(agent, changes)
  expect(seen.length).toBeLessThan(10_000)
  expect(seen).toContain('overflow')
})
