import { createHash } from 'node:crypto'
import { Agent, type RequestOptions, request } from 'node:http'
import { connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { LiveSandbox } from '../../host/sandbox/life.ts'
import { Door, KEY, TRAFFIC_TOKEN, textOf } from './door.ts'
import { header, Inside, nextPiece, openSocket, type Seen, to } from './inside.ts'
import { everything, parseReply } from './raw.ts'

// Servers inside a real sandbox, reached through the one port: by header, by host, by path; HTTP/1.1 in all its ways, WebSockets, TLS.

const signal = new AbortController().signal
// biome-ignore lint/suspicious/noTemplateCurlyInString: these are the letters that stand for the port.
const MASKED = 'localhost:${PORT}'
let inside: Inside

beforeAll(async () => {
  inside = await Inside.open()
  inside.door.sandboxes.set('imasked', { live: inside.live, traffic: { maskRequestHost: MASKED } })
  inside.door.sandboxes.set('iclosed', { live: inside.live, traffic: { public: false } })
})
afterAll(() => inside[Symbol.asyncDispose]())

test('method, path, query, headers and body arrive as they were sent', async () => {
  for (const method of ['POST', 'PUT', 'DELETE']) {
    const answer = await inside.seen('/a//b/../c%2F?d=e&f', { method, headers: { 'X-Mine': 'ä', cookie: 'c=d' }, body: 'hello' })
    expect(answer).toMatchObject({ path: '/a//b/../c%2F?d=e&f'.replace('/a//b/../c', '/a//c'), method, body: 'hello' })
    expect(header(answer, 'cookie')).toEqual(['c=d'])
  }
  const raw = await inside.ask({ path: '/a//b/../%00', headers: { ...to(3000), 'x-two': ['1', '2'] } })
  expect(JSON.parse(raw.text)).toMatchObject({ path: '/a//b/../%00', method: 'GET' })
  expect(header(JSON.parse(raw.text), 'x-two')).toEqual(['1', '2'])
  expect(header(await inside.seen('/', { method: 'POST' }), 'content-length')).toEqual(['0'])
})

test('a chunked body and its trailers arrive, and those of the answer come back', async () => {
  const bytes = [
    `POST /chunks HTTP/1.1\r\nHost: x\r\n${Object.entries(to(3000))
      .map((pair) => pair.join(': '))
      .join('\r\n')}\r\n`,
    'Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n',
  ].join('')
  const socket = connect(inside.door.port, '127.0.0.1')
  const all = everything(socket)
  socket.write(bytes)
  expect(parseReply((await all).text).text).toContain('"body": "abcde", "trailers": "X-Sum: 5"')
  const answer = await inside.ask({ path: '/trailers', headers: to(3000) })
  expect([answer.text, answer.trailers]).toEqual(['ok', { 'x-sum': '7' }])
})

test('what is not passed on before a body is not passed on behind it', async () => {
  const trailers = [
    'X-Sum: 5',
    'X-Access-Token: secret',
    `Authorization: Bearer ${KEY}`,
    'E2B-Any: x',
    'Host: y',
    'Content-Type: z',
    'X-End: 1',
  ]
  const about = Object.entries(to(3000)).map((pair) => pair.join(': '))
  const head = ['POST /chunks HTTP/1.1', 'Host: x', ...about, 'Transfer-Encoding: chunked', 'Connection: close', '', '3', 'abc', '0']
  const socket = connect(inside.door.port, '127.0.0.1')
  const all = everything(socket)
  socket.write([...head, ...trailers, '', ''].join('\r\n'))
  expect(parseReply((await all).text).text).toContain('"trailers": "X-Sum: 5, X-End: 1"')
  const lied = async (path: string, headers = {}) => (await inside.ask({ path, headers })).trailers
  expect(await lied('/bold-trailers', to(3002))).toEqual({ 'x-sum': '7', nel: '{}' })
  expect(await lied('/s/ione/3002/bold-trailers')).toEqual({ 'x-sum': '7' })
})

test('the server inside learns who asks, and none of what is Caisson’s', async () => {
  const secret = {
    'X-Access-Token': 'secret-1',
    'X-API-Key': KEY,
    Authorization: `Bearer ${KEY}`,
    'E2B-Traffic-Access-Token': 'secret-2',
    'e2b-anything': 'secret-3',
    'X-Forwarded-For': '192.0.2.1',
    'Keep-Alive': 'secret-4',
    'Proxy-Authorization': 'secret-5',
  }
  const answer = JSON.parse(
    (await inside.ask({ path: '/', headers: { ...secret, ...to(3000), Connection: 'close, x-secret', 'X-Secret': 'secret-6' } })).text,
  )
  expect(JSON.stringify(answer)).not.toMatch(/secret|e2b_/i)
  expect(header(answer, 'x-forwarded-for')).toEqual(['192.0.2.1, 127.0.0.1'])
  expect(header(answer, 'x-forwarded-host')).toEqual([`127.0.0.1:${inside.door.port}`])
  expect(header(answer, 'x-forwarded-proto')).toEqual(['http'])
  // Those of the server's own are its own.
  const own = await inside.seen('/', { headers: { 'x-api-key': 'mine', authorization: 'Bearer theirs' } })
  expect([header(own, 'x-api-key'), header(own, 'authorization')]).toEqual([['mine'], ['Bearer theirs']])
})

test('the host is the one that was asked for, or the mask', async () => {
  const hostOf = async (options: RequestOptions) => header(JSON.parse((await inside.ask({ path: '/', ...options })).text), 'host')
  expect(await hostOf({ headers: { host: '3000-ione.sbx.localhost:1' } })).toEqual(['3000-ione.sbx.localhost:1'])
  expect(await hostOf({ headers: to(3000, 'imasked') })).toEqual(['localhost:3000'])
})

test('below a path: the prefix is gone, and the page has neither cookies nor an origin of the daemon’s', async () => {
  const answer = await fetch(`${inside.door.url}/s/ione/3000/x//y?z`, { headers: { cookie: 'of=others' } })
  const said = (await answer.json()) as Seen
  expect(said.path).toBe('/x//y?z')
  expect([header(said, 'x-forwarded-prefix'), header(said, 'cookie')]).toEqual([['/s/ione/3000'], []])
  expect(answer.headers.get('set-cookie')).toBeNull()
  expect(answer.headers.get('content-security-policy')).toMatch(/^sandbox (?!.*allow-same-origin)/)
  const apart = await inside.at('/')
  expect([apart.headers.get('set-cookie'), apart.headers.get('alt-svc')]).toEqual(['a=b; Path=/', null])
  expect(apart.headers.get('content-security-policy')).toBeNull()
})

test('connections inside are used again for what can be asked twice', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const ports: number[] = []
  for (let round = 0; round < 5; round += 1)
    ports.push(JSON.parse((await inside.ask({ path: '/', headers: to(3000), agent })).text).connection)
  agent.destroy()
  expect(new Set(ports).size).toBe(1)
})

test('events come one by one, as they happen', async () => {
  const answer = await inside.at('/events')
  const reader = answer.body?.getReader()
  let text = ''
  while (!text.includes('data: 1')) text += Buffer.from((await reader?.read())?.value ?? []).toString()
  // The server waits for this before it goes on: what has come so far was not held back.
  await inside.at('/heard')
  for (let piece = await reader?.read(); piece?.done === false; piece = await reader?.read()) text += Buffer.from(piece.value).toString()
  expect(text).toBe('data: 0\n\ndata: 1\n\ndata: 2\n\n')
})

test('200 MB each way, in pieces', async () => {
  const bytes = 200_000_000
  let came = 0
  for await (const piece of (await inside.at(`/zeros/${bytes}`)).body ?? []) came += (piece as Uint8Array).length
  expect(came).toBe(bytes)
  const hash = createHash('sha256')
  const pieces = async function* () {
    for (let left = bytes; left > 0; left -= 1_000_000) {
      const piece = Buffer.alloc(1_000_000, left % 251)
      hash.update(piece)
      yield piece
    }
  }
  const sum = await new Promise<string>((resolve, reject) => {
    const asked = request(
      { host: '127.0.0.1', port: inside.door.port, path: '/sum', method: 'POST', headers: { ...to(3000), 'content-length': bytes } },
      (answer) => {
        textOf(answer).then(resolve, reject)
      },
    )
    asked.on('error', reject)
    const write = async () => {
      for await (const piece of pieces()) if (!asked.write(piece)) await new Promise((drained) => asked.once('drain', drained))
      asked.end()
    }
    write().catch(reject)
  })
  expect(sum).toBe(hash.digest('hex'))
})

test('HEAD has no body; a server that listens on ::1 only is found; TLS inside is spoken, whatever its certificate', async () => {
  const head = await inside.ask({ path: '/zeros/77', method: 'HEAD', headers: to(3000), agent: new Agent() })
  expect([head.headers['content-length'], head.text]).toEqual(['77', ''])
  expect((await inside.seen('/six', {}, 3003)).path).toBe('/six')
  expect((await inside.seen('/tls', { method: 'POST', body: 'x' }, 3004)).body).toBe('x')
})

test('a port that is closed, and the token of one that is not for everybody', async () => {
  const answer = await inside.at('/', 4444)
  expect([answer.status, await answer.json()]).toEqual([
    502,
    { sandboxId: 'ione', message: 'The sandbox is running but port is not open', port: 4444, code: 502 },
  ])
  expect((await fetch(`${inside.door.url}/s/ione/4444/`, { headers: { accept: 'text/html' } })).headers.get('content-type')).toContain(
    'text/html',
  )
  const closed = (token: Record<string, string>) => fetch(inside.door.url, { headers: { ...to(3000, 'iclosed'), ...token } })
  expect((await closed({})).status).toBe(403)
  expect((await closed({ 'e2b-traffic-access-token': TRAFFIC_TOKEN })).status).toBe(200)
})

const frame = (text: string) => Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)])

test.each([
  ['header', '/', to(3001)],
  ['host', '/', { host: '3001-ione.sbx.localhost' }],
  ['path', '/s/ione/3001/', {}],
])('a WebSocket by %s: both ways, and half-closed', async (_by, path, headers) => {
  const { socket, came } = await openSocket(inside.door.port, path, headers as Record<string, string>)
  expect(came.toString('latin1')).toMatch(/^HTTP\/1\.1 101 .*sec-websocket-accept: ICX\+Yqv66kxgM0FcWaLWlFLwTAI=/is)
  let all = came.subarray(came.indexOf('\r\n\r\n') + 4).toString('latin1')
  while (!all.includes('hello')) all += (await nextPiece(socket)).toString('latin1')
  for (const text of ['one', 'two', 'x'.repeat(100)]) {
    socket.write(frame(text))
    let echoed = ''
    while (!echoed.includes(text)) echoed += (await nextPiece(socket)).toString('latin1')
  }
  const rest = everything(socket)
  socket.end()
  expect((await rest).text).toBe('\x81\x03bye')
})

test('an upgrade that is no use, or not wanted, is answered as a request', async () => {
  const refused = await openSocket(inside.door.port, '/upgrade-refused', to(3002))
  expect(refused.came.toString()).toMatch(/^HTTP\/1\.1 403 [\s\S]*connection: close/i)
  await everything(refused.socket)
  const closed = await openSocket(inside.door.port, '/', to(4444))
  expect(closed.came.toString()).toMatch(/^HTTP\/1\.1 502 /)
  await everything(closed.socket)
  const control = await openSocket(inside.door.port, '/health', {})
  expect(control.came.toString()).toMatch(/^HTTP\/1\.1 200 /)
  await everything(control.socket)
  // Some clients offer HTTP/2 with each request, bodies and all.
  const offered = { ...to(3000), connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQAAP__' }
  expect(JSON.parse((await inside.ask({ path: '/', method: 'POST', headers: offered }, 'body')).text)).toMatchObject({ body: 'body' })
})

test('when the sandbox is paused or ends, all that is open breaks off, and nothing is found there', async () => {
  const { socket } = await openSocket(inside.door.port, '/', to(3001))
  const broken = everything(socket)
  const events = await inside.at('/events')
  const reader = events.body?.getReader()
  await reader?.read()
  inside.door.leave('ione')
  expect((await broken).error?.code).toBe('ECONNRESET')
  await expect(reader?.read().then(() => reader.read())).rejects.toThrow()
  expect((await inside.at('/')).status).toBe(502)
  inside.admit()
  expect((await inside.at('/zeros/3')).status).toBe(200)
})

test('a daemon that stops does not wait for WebSockets', async () => {
  const own = await Door.open((door) => door.sandboxes.set('ione', { live: inside.live }), { drainMs: 3_600_000 })
  const { socket } = await openSocket(own.port, '/', to(3001))
  const broken = everything(socket)
  await own.close()
  expect((await broken).error?.code).toBe('ECONNRESET')
})

test('a real end of the sandbox is no different', async () => {
  const own = (await inside.host.door.create({ template: 'base' }, signal)) as LiveSandbox
  inside.door.sandboxes.set('iown', { live: own })
  const server = await own.start({ command: 'python3', args: ['-u', '-m', 'http.server', '8000'] }, signal)
  await server.output[Symbol.asyncIterator]().next()
  const folder = await fetch(inside.door.url, { headers: to(8000, 'iown') })
  expect(await folder.text()).toContain('Directory listing')
  await own.kill(signal)
  expect(await (await fetch(inside.door.url, { headers: to(8000, 'iown') })).json()).toMatchObject({
    code: 502,
    message: 'The sandbox was not found',
  })
})
