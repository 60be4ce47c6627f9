import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { FakeDaemon, json, type Script, unaborted } from './fake-daemon.ts'
import { Link } from './link.ts'
import { RemoteDoor } from './remote-door.ts'

let daemon: FakeDaemon | undefined
afterEach(async () => {
  await daemon?.[Symbol.asyncDispose]()
  daemon = undefined
})

async function opened(script: Script): Promise<{ daemon: FakeDaemon; link: Link }> {
  daemon = await FakeDaemon.open(script)
  return { daemon, link: new Link({ url: daemon.url }) }
}
async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = []
  for await (const piece of body) pieces.push(piece)
  return Buffer.concat(pieces).toString('utf8')
}

test('connections are kept: requests one after the other share one', async () => {
  const { daemon, link } = await opened({
    'GET /a': ({ reply }) => void reply.end('x'),
    'POST /b': ({ reply }) => void reply.writeHead(204).end(),
  })
  for (let turn = 0; turn < 5; turn += 1) {
    expect(await textOf((await link.ask({ method: 'GET', path: '/a' }, unaborted())).body)).toBe('x')
    expect(await textOf((await link.ask({ method: 'POST', path: '/b', body: 'y' }, unaborted())).body)).toBe('')
  }
  expect(daemon.sockets.size).toBe(1)
  expect(daemon.asked).toHaveLength(10)
  expect(daemon.asked.every(({ headers }) => headers['caisson-client'] === '1')).toBe(true)
})

test('a path in front of the daemon stays in front of every path', async () => {
  const { daemon } = await opened({ 'GET /proxy/health': ({ reply }) => void reply.end() })
  expect(await new RemoteDoor({ url: `${daemon.url}/proxy/` }).isAlive(unaborted())).toBe(true)
})

test('a name below localhost is this machine, whatever the resolver says', async () => {
  const { daemon } = await opened({ 'GET /health': ({ reply }) => void reply.end() })
  const door = new RemoteDoor({ url: `http://api.sbx.localhost:${daemon.port}` })
  expect(await door.isAlive(unaborted())).toBe(true)
  expect(daemon.asked[0]?.headers.host).toBe(`api.sbx.localhost:${daemon.port}`)
})

test('nobody there: DAEMON_UNREACHABLE, with the address', async () => {
  const { daemon, link } = await opened({})
  await daemon.die()
  await expect(link.ask({ method: 'GET', path: '/' }, unaborted())).rejects.toMatchObject({
    code: 'DAEMON_UNREACHABLE',
    message: `${daemon.url} does not answer (connection refused)`,
  })
})

test('an abort before the answer, and within it, is the caller’s own, with its reason', async () => {
  const { daemon, link } = await opened({ 'GET /never': () => undefined, 'GET /half': ({ reply }) => void reply.write('half') })
  const before = new AbortController()
  const asking = link.ask({ method: 'GET', path: '/never' }, before.signal)
  setImmediate(() => before.abort(new Error('enough')))
  await expect(asking).rejects.toMatchObject({ code: 'CANCELLED', cause: new Error('enough') })
  const within = new AbortController()
  const { body } = await link.ask({ method: 'GET', path: '/half' }, within.signal)
  const reading = textOf(body)
  setImmediate(() => within.abort(new Error('enough')))
  await expect(reading).rejects.toMatchObject({ code: 'CANCELLED', cause: new Error('enough') })
  await expect(link.ask({ method: 'GET', path: '/never' }, AbortSignal.abort())).rejects.toMatchObject({ code: 'CANCELLED' })
  await expect.poll(() => daemon.sockets.size).toBe(0)
})

test('an answer that breaks off is no answer', async () => {
  const { link } = await opened({
    'GET /cut': ({ reply }) => {
      reply.writeHead(200, { 'content-length': '100' }).write('half')
      setTimeout(() => reply.destroy(), 20)
    },
  })
  const { body } = await link.ask({ method: 'GET', path: '/cut' }, unaborted())
  await expect(textOf(body)).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
})

test('a reader who leaves early gives up the connection, and no other', async () => {
  const { daemon, link } = await opened({
    'GET /endless': ({ reply }) => void reply.write('x'.repeat(1000)),
    'GET /a': ({ reply }) => void reply.end('a'),
  })
  for await (const _ of (await link.ask({ method: 'GET', path: '/endless' }, unaborted())).body) break
  await expect.poll(() => daemon.sockets.size).toBe(0)
  expect(await textOf((await link.ask({ method: 'GET', path: '/a' }, unaborted())).body)).toBe('a')
})

test('a kept connection that the daemon has closed is no failure of a question, but is one of an order', async () => {
  let orders = 0
  // Answers one request, and breaks off at the next: what a client sees whose request crossed the end of an idle connection.
  const server = createServer((socket) => {
    let requests = 0
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => {
      requests += 1
      if (String(bytes).startsWith('POST')) orders += 1
      if (requests > 1) socket.resetAndDestroy()
      else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const link = new Link({ url: `http://127.0.0.1:${(server.address() as { port: number }).port}` })
    for (let turn = 0; turn < 3; turn += 1) {
      expect(await textOf((await link.ask({ method: 'GET', path: '/' }, unaborted())).body)).toBe('ok')
    }
    await expect(link.ask({ method: 'POST', path: '/', body: '{}' }, unaborted())).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' })
    expect(orders).toBe(1)
    await link.close()
  } finally {
    server.close()
  }
})

test('a body that is refused while it is sent: the answer counts, and the rest stays where it is', async () => {
  const { daemon, link } = await opened({
    'POST /full': ({ reply }) => json(reply, 507, { code: 507, message: 'full', error_code: 'limit_hit' }),
  })
  daemon.streamed.add('POST /full')
  let given = 0
  let isLeft = false
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        given += 1
        yield Buffer.alloc(64 * 1024)
      }
    } finally {
      isLeft = true
    }
  }
  const answer = await link.ask({ method: 'POST', path: '/full', body: source() }, unaborted())
  expect(answer.status).toBe(507)
  expect(await textOf(answer.body)).toContain('full')
  await expect.poll(() => isLeft).toBe(true)
  expect(given).toBeLessThan(1000)
})

test('a body that fails is the failure of its request', async () => {
  const { link } = await opened({ 'POST /x': ({ reply }) => void reply.end() })
  async function* source(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('a')
    throw new Error('the disk is gone')
  }
  await expect(link.ask({ method: 'POST', path: '/x', body: source() }, unaborted())).rejects.toThrow('the disk is gone')
})

test('a large body waits for its reader', async () => {
  let read: (() => void) | undefined
  const { daemon, link } = await opened({
    'POST /slow': async ({ request, reply }) => {
      await new Promise<void>((resolve) => {
        read = resolve
      })
      let bytes = 0
      for await (const piece of request as AsyncIterable<Buffer>) bytes += piece.length
      reply.end(String(bytes))
    },
  })
  daemon.streamed.add('POST /slow')
  let given = 0
  async function* source(): AsyncGenerator<Uint8Array> {
    for (; given < 1024; given += 1) yield Buffer.alloc(64 * 1024)
  }
  const asking = link.ask({ method: 'POST', path: '/slow', body: source() }, unaborted())
  await expect.poll(() => read !== undefined).toBe(true)
  let before = -1
  while (given !== before) {
    before = given
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  expect(given).toBeLessThan(1024)
  read?.()
  expect(await textOf((await asking).body)).toBe(String(1024 * 64 * 1024))
})

test.each(['', 'daemon', 'ftp://x', 'http://', 'http://x/?a=1', 'file:///x'])('%j is no address of a daemon', (url) => {
  expect(() => new Link({ url })).toThrow(expect.objectContaining({ code: 'BAD_REQUEST' }))
})
