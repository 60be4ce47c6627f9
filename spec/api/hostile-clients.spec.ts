import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Door, KEY } from './door.ts'
import { everything, exchange, parseReply } from './raw.ts'

// Whatever comes in on the port: a clear answer or none, bounded memory, and others are served meanwhile.

const HEAD = `Host: x\r\nX-API-Key: ${KEY}\r\n`
const SMUGGLED = `GET /sandboxes/smuggled HTTP/1.1\r\n${HEAD}Connection: close\r\n\r\n`
const PATIENCE = { headMs: 300, bodyMs: 300, lingerMs: 200, sweepMs: 50 }

let door: Door
beforeAll(async () => {
  door = await Door.open(undefined, { patience: PATIENCE })
  door.sandboxes.set('i1', {})
})
afterAll(() => door.close())
beforeEach(() => {
  door.logged.length = 0
})

const others = async () => (await fetch(`${door.url}/sandboxes/others`, { headers: { 'x-api-key': KEY } })).status
const envd = { 'e2b-sandbox-id': 'i1', 'e2b-sandbox-port': '49983' }

test.each([
  ['a hundred thousand headers', () => Array.from({ length: 100_000 }, (_, at) => `X-${at}: 1\r\n`).join('')],
  ['one that is too long', () => `X-Long: ${'x'.repeat(100_000)}\r\n`],
  ['many of the same name', () => 'E2b-Sandbox-Id: i1\r\n'.repeat(10_000)],
])('headers: %s', async (_what, headers) => {
  expect(await exchange(door.port, `GET /health HTTP/1.1\r\nHost: x\r\n${headers()}\r\n`)).toMatchObject({
    status: 431,
    body: { code: 431 },
  })
  expect(await others()).toBe(200)
})

test('three thousand headers that fit are all seen', async () => {
  const many = Array.from({ length: 3000 }, (_, at) => `X-${at}: 1\r\n`).join('')
  const reply = await exchange(door.port, `GET /sandboxes/x HTTP/1.1\r\n${many}${HEAD}Connection: close\r\n\r\n`)
  expect(reply).toMatchObject({ status: 200, body: { owner: 'somebody' } })
})

test('an endless line, and an endless path', async () => {
  expect((await exchange(door.port, 'x'.repeat(200_000))).status).toBe(400)
  expect((await exchange(door.port, `GET /${'x'.repeat(200_000)}`)).status).toBe(431)
})

/** The body is `5` bytes by one reckoning, and hides a request by the other. */
const hidden = `0\r\n\r\n${SMUGGLED}`
test.each([
  ['both lengths', `Content-Length: ${hidden.length}\r\nTransfer-Encoding: chunked\r\n\r\n${hidden}`],
  ['both lengths, the other way round', `Transfer-Encoding: chunked\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`],
  ['two lengths', `Content-Length: 0\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`],
  ['a list of lengths', `Content-Length: 0, ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`],
  ['a length with a sign', `Content-Length: +0\r\n\r\n${SMUGGLED}`],
  ['a negative length', `Content-Length: -1\r\n\r\n${SMUGGLED}`],
  ['a length that is too large', `Content-Length: 18446744073709551616\r\n\r\n${SMUGGLED}`],
  ['a length in hexadecimal', `Content-Length: 0x0\r\n\r\n${SMUGGLED}`],
  ['a coding that is none', `Transfer-Encoding: xchunked\r\n\r\n${hidden}`],
  ['chunked, then something else', `Transfer-Encoding: chunked, identity\r\n\r\n${hidden}`],
  ['chunked twice', `Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n${hidden}`],
  ['gzip and chunked', `Transfer-Encoding: gzip, chunked\r\n\r\n${hidden}`],
  ['a space before the colon', `Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n${hidden}`],
  ['a vertical tab before the coding', `Transfer-Encoding: \x0bchunked\r\n\r\n${hidden}`],
  ['a coding on a continued line', `Transfer-Encoding:\r\n chunked\r\nContent-Length: 0\r\n\r\n${hidden}`],
  ['a quoted coding', `Transfer-Encoding: "chunked"\r\n\r\n${hidden}`],
  ['a header without a name', `: x\r\nContent-Length: 0\r\n\r\n`],
  ['NUL in a name', `X\0: x\r\nContent-Length: 0\r\n\r\n`],
  ['NUL in a value', `X: x\0y\r\nContent-Length: 0\r\n\r\n`],
  ['a carriage return in a value', `X: x\rContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`],
  ['a chunk whose size is too large', `Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n${SMUGGLED}`],
  ['a chunk whose size is none', `Transfer-Encoding: chunked\r\n\r\n-1\r\n${SMUGGLED}`],
  ['a chunk that is longer than it says', `Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n${hidden}`],
  ['a chunk with a line end that is none', `Transfer-Encoding: chunked\r\n\r\n2\nab\n0\n\n${SMUGGLED}`],
  ['a chunk with endless extensions', `Transfer-Encoding: chunked\r\n\r\n1;${'x'.repeat(100_000)}\r\na\r\n${hidden}`],
])('a request within a request is not heard: %s', async (_what, rest) => {
  const reply = await exchange(door.port, `POST /echo HTTP/1.1\r\n${HEAD}${rest}`)
  expect([400, 413]).toContain(reply.status)
  expect(reply.text).not.toMatch(/HTTP\/1\.1 \d/)
  expect(door.logged.filter(({ route }) => route === '/sandboxes/:id')).toEqual([])
})

test('what is no HTTP/1.1 is refused', async () => {
  for (const bytes of [
    '\x16\x03\x01\x02\x00\x01',
    'GET / HTTP/1.1\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    '\0\0\0\0',
    'get / HTTP/1.1\r\nHost: x\r\n\r\n',
  ]) {
    expect([bytes, (await exchange(door.port, bytes)).status]).toEqual([bytes, 400])
  }
  expect((await exchange(door.port, `CONNECT x:80 HTTP/1.1\r\n${HEAD}\r\n`)).status).toBe(405)
  expect(await others()).toBe(200)
})

test('slow heads and slow bodies are not waited for', async () => {
  const drip = async (first: string, next: string) => {
    const socket = connect(door.port, '127.0.0.1')
    const all = everything(socket)
    socket.write(first)
    const timer = setInterval(() => socket.write(next), 20)
    const { text } = await all
    clearInterval(timer)
    return parseReply(text)
  }
  expect(await drip(`GET /health HTTP/1.1\r\n`, 'X: y\r\n')).toMatchObject({ status: 408 })
  expect(await drip(`POST /echo HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked\r\n\r\n`, '1\r\n \r\n')).toMatchObject({ status: 408 })
  const silent = connect(door.port, '127.0.0.1')
  expect((await everything(silent)).text).toMatch(/^(HTTP\/1\.1 408 |$)/)
})

/** Sends for as long as the other side takes it. */
async function flood(first: string): Promise<{ text: string; sent: number }> {
  const socket = connect(door.port, '127.0.0.1')
  const all = everything(socket)
  let over = false
  void all.then(() => {
    over = true
  })
  socket.write(first)
  const piece = Buffer.from(`10000\r\n${'x'.repeat(0x10000)}\r\n`)
  let sent = 0
  while (!over) {
    sent += piece.length
    if (!socket.write(piece)) await Promise.race([new Promise((drained) => socket.once('drain', drained)), all])
    await pause(0)
  }
  return { text: (await all).text, sent }
}

test('endless bodies: the answer comes, and then the end', async () => {
  const head = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`
  expect(parseReply((await flood(`POST /echo HTTP/1.1\r\n${head}`)).text)).toMatchObject({
    status: 400,
    text: expect.stringContaining('larger than'),
  })
  expect(parseReply((await flood(`POST /nothing HTTP/1.1\r\n${head}`)).text).status).toBe(404)
  expect(parseReply((await flood('POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n')).text).status).toBe(401)
  expect(await others()).toBe(200)
})

test('a small body after an early answer does not cost the connection', async () => {
  const two = `DELETE /nothing HTTP/1.1\r\n${HEAD}Content-Length: 2\r\n\r\n{}GET /sandboxes/x HTTP/1.1\r\n${HEAD}Connection: close\r\n\r\n`
  const { text } = await exchange(door.port, two)
  expect(text).toMatch(/HTTP\/1\.1 200 /)
})

test('requests that do not wait for their answers are answered in order, up to a number', async () => {
  const one = (at: number) => `GET /sandboxes/n${at} HTTP/1.1\r\n${HEAD}`
  const { text, head } = await exchange(door.port, `${one(0)}\r\n${one(1)}\r\n${one(2)}Connection: close\r\n\r\n`)
  expect([...`${head}${text}`.matchAll(/"id":"(n\d)"/g)].map(([, id]) => id)).toEqual(['n0', 'n1', 'n2'])
  door.serveEnvd = () => new Promise(() => undefined)
  const waiting = `GET / HTTP/1.1\r\n${HEAD}E2b-Sandbox-Id: i1\r\nE2b-Sandbox-Port: 49983\r\n\r\n`
  const socket = connect(door.port, '127.0.0.1')
  const broken = everything(socket)
  socket.write(waiting.repeat(1000))
  expect((await broken).error?.code).toMatch(/ECONNRESET|EPIPE/)
})

test('Expect: 100-continue is answered before the body comes', async () => {
  const socket = connect(door.port, '127.0.0.1')
  const all = everything(socket)
  socket.write(`POST /echo HTTP/1.1\r\n${HEAD}Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n`)
  await new Promise<void>((said) => socket.once('data', () => said()))
  socket.write('{}')
  expect((await all).text).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/)
  expect(
    (await exchange(door.port, `POST /echo HTTP/1.1\r\n${HEAD}Expect: miracles\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`))
      .status,
  ).toBe(417)
})

test('who goes away is noticed by whoever works for them', async () => {
  const gone = new Promise<unknown>((resolve) => {
    door.serveEnvd = (visit) =>
      new Promise(() => {
        visit.signal.addEventListener('abort', () => resolve(visit.signal.reason))
      })
  })
  const abort = new AbortController()
  const asked = fetch(door.url, { headers: envd, signal: abort.signal })
  setTimeout(() => abort.abort(), 50)
  await expect(asked).rejects.toThrow()
  expect(await gone).toMatchObject({ code: 'CANCELLED' })
  while (!door.logged.some(({ status }) => status === 499)) await pause(5)
})

test('a fault of ours is told as one, without what caused it, and logged with it', async () => {
  door.serveEnvd = () => Promise.reject(new Error('inner', { cause: new Error('secret of the house') }))
  const reply = await fetch(door.url, { headers: envd })
  const text = await reply.text()
  expect([reply.status, text]).toEqual([500, expect.stringContaining('"error_code":"internal"')])
  expect(text).not.toMatch(/inner|secret/)
  expect(door.logged).toContainEqual(
    expect.objectContaining({
      level: 'error',
      request: reply.headers.get('x-request-id'),
      failure: 'Error: inner',
      causes: ['Error: secret of the house'],
    }),
  )
})

test('when it stops: what is under way ends within the time, nothing new begins, what is left breaks off', async () => {
  const own = await Door.open((one) => one.sandboxes.set('i1', {}), { drainMs: 300 })
  const ends: (() => void)[] = []
  const aborted: unknown[] = []
  own.serveEnvd = ({ reply, request, signal }) =>
    new Promise((resolve) => {
      signal.addEventListener('abort', () => aborted.push(signal.reason))
      if (request.url === '/soon') ends.push(() => resolve(void reply.end('done')))
    })
  const soon = fetch(`${own.url}/soon`, { headers: envd })
  const never = fetch(`${own.url}/never`, { headers: envd }).then(
    () => 'answered',
    () => 'broken off',
  )
  while (ends.length === 0) await pause(5)
  const closing = own.close()
  await expect(fetch(own.url)).rejects.toThrow()
  ends[0]?.()
  expect(await (await soon).text()).toBe('done')
  expect(await never).toBe('broken off')
  await closing
  expect(aborted).toEqual([expect.objectContaining({ code: 'CANCELLED' })])
})

test('an address that is taken is named', async () => {
  await expect(Door.open(undefined, { port: door.port })).rejects.toMatchObject({
    code: 'ADDRESS_UNUSABLE',
    message: expect.stringContaining(`127.0.0.1:${door.port}`),
  })
})
