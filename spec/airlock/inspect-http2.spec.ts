import { createHash, randomBytes } from 'node:crypto'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { expect, test } from 'vitest'
import { python } from './gated.ts'
import { inspecting } from './hosted.ts'
import { lookedInto, TLS } from './looked-into.ts'
import { Web } from './web.ts'

const big = randomBytes(3 * 1024 * 1024)
const sha = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')

const spec = lookedInto({
  serve(request, response, heard) {
    const path = request.url ?? ''
    if (path === '/big') return void response.end(big as never)
    if (path === '/call' && heard.version === '2.0') {
      const plain = response as Http2ServerResponse
      plain.writeHead(200, { 'content-type': 'application/grpc' })
      plain.addTrailers({ 'grpc-status': '0', 'x-heard': String(heard.trailers['x-last']) })
      return void plain.end(heard.body)
    }
    response.end(`${heard.version} ${heard.method} ${heard.body.length} ${sha(Buffer.from(heard.body, 'latin1'))}\n`)
  },
})

const curl = (path: string, options = '') => `curl -sS --max-time 20 ${options} https://${spec().here}${path}`
const node = (program: string) => `cat >/tmp/program.cjs <<'END'\n${program.replaceAll('HERE', spec().here)}\nEND\nnode /tmp/program.cjs`

test('what speaks HTTP/2 is spoken to in HTTP/2, on both sides', async () => {
  const { hosted, web, here } = spec()
  expect(await hosted.sh(curl('/a?b=c', '-w "%{http_version}"'))).toMatch(/^2\.0 GET 0 \S+\n2$/)
  expect(web.heard.at(-1)).toMatchObject({ version: '2.0', path: '/a?b=c', headers: { ':authority': here } })
  expect(hosted.of('network-request').at(-1)).toMatchObject({ method: 'GET', path: '/a', verdict: 'allow' })
})

test('bodies pass whole both ways, many at once on one connection', async () => {
  const { hosted, web } = spec()
  const told = await hosted.sh(
    `head -c 4000000 /dev/urandom >/tmp/up && sha256sum </tmp/up\n${curl('/up', '--data-binary @/tmp/up')}\n${curl('/big')} | sha256sum`,
  )
  const [sum = '', up, down] = told.trim().split('\n')
  expect(up).toBe(`2.0 POST 4000000 ${sum.split(' ')[0]}`)
  expect(down).toContain(sha(big))
  const before = web.connections
  const urls = Array.from({ length: 50 }, (_, index) => `https://${spec().here}/s${index}`).join(' ')
  const many = await hosted.sh(`curl -sS --max-time 30 -Z --parallel-max 50 ${urls} 2>/dev/null`)
  expect(many.match(/2\.0 GET/g)).toHaveLength(50)
  expect(web.connections - before).toBeLessThanOrEqual(1)
})

test('trailers pass both ways, as gRPC has them', async () => {
  const { hosted } = spec()
  const program = `
const session = require('http2').connect('https://HERE')
const stream = session.request({ ':method': 'POST', ':path': '/call', te: 'trailers' }, { waitForTrailers: true })
let heard = ''
stream.on('wantTrailers', () => stream.sendTrailers({ 'x-last': 'word' }))
stream.on('data', (bytes) => { heard += bytes })
stream.on('trailers', (trailers) => console.log(heard, trailers['grpc-status'], trailers['x-heard']))
stream.on('close', () => session.close())
stream.end('hello')
`
  expect(await hosted.sh(node(program))).toBe('hello 0 word\n')
})

test('a request for another name, a tunnel, or something that HTTP/2 has not, on a connection that was checked, goes nowhere', async () => {
  const { hosted, web, here } = spec()
  const before = web.heard.length
  const program = `
const session = require('http2').connect('https://HERE')
const ask = (headers) => new Promise((resolve) => {
  const stream = session.request(headers)
  stream.on('response', (got) => { stream.resume(); resolve(got[':status']) }).on('error', (e) => resolve(e.code)).on('close', () => resolve('closed'))
  setTimeout(resolve, 5000, 'nothing').unref()
})
;(async () => {
  console.log(await ask({ ':authority': 'other.example', ':path': '/' }))
  console.log(await ask({ ':authority': 'good.example:1', ':path': '/' }))
  console.log(await ask({ ':authority': 'HERE', host: 'other.example', ':path': '/' }))
  console.log(await ask({ ':authority': 'HERE', ':scheme': 'http', ':path': '/' }))
  console.log(await ask({ ':method': 'CONNECT', ':authority': 'other.example:443' }))
  console.log(await ask({ ':method': 'TRACE', ':path': '/' }))
  console.log(await ask({ ':path': '/fine' }))
  session.destroy()
})()
`
  expect((await hosted.sh(node(program))).trim().split('\n')).toEqual(['421', '421', '400', '400', '400', '405', '200'])
  expect(web.heard.slice(before).map(({ path }) => path)).toEqual(['/fine'])
  expect(hosted.of('network').find(({ rule }) => rule === 'host')).toMatchObject({ verdict: 'deny', reason: expect.stringContaining(here) })
})

test('a server that speaks HTTP/1.1 only is asked in that, whatever its client speaks', async () => {
  const { hosted, authority, web } = spec()
  using old = await Web.open({ identity: await authority.identity(['other.example']), protocols: ['http/1.1'] })
  hosted.airlock.replace(hosted.id, inspecting({ allow: [`good.example:${web.port}`, `other.example:${old.port}`] }))
  const told = await hosted.sh(
    `curl -sS --max-time 20 -w "%{http_version}" -H "cookie: a=1" -H "cookie: b=2" --data hello https://other.example:${old.port}/`,
  )
  expect(told).toMatch(/hello from other\.example:\d+\n2$/)
  expect(old.heard.at(-1)).toMatchObject({ version: '1.1', body: 'hello', headers: { host: `other.example:${old.port}` } })
  expect(old.heard.at(-1)?.headers['cookie']).toMatch(/a=1; b=2/)
})

test('what a server says beside its answer that cannot be handed on is left out, and the host goes on', async () => {
  const { hosted, authority, web } = spec()
  const early = (fields: string) => `HTTP/1.1 103 Early Hints\r\n${fields}\r\n\r\n`
  using odd = await Web.open({
    identity: await authority.identity(['other.example']),
    protocols: ['http/1.1'],
    serve(request) {
      request.socket.write(early('Link: no link') + early('Keep-Alive: 5\r\nLink: </a>'))
      request.socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nafter\r\n0\r\nKeep-Alive: 5\r\nX-Sum: 2\r\n\r\n')
    },
  })
  hosted.airlock.replace(hosted.id, inspecting({ allow: [`good.example:${web.port}`, `other.example:${odd.port}`] }))
  for (const version of ['--http1.1', '--http2'])
    expect(await hosted.sh(`curl -sS --max-time 20 ${version} https://other.example:${odd.port}/`)).toBe('after')
})

test('a client that takes its questions back ends its own alone', async () => {
  const { hosted, web } = spec()
  hosted.airlock.replace(hosted.id, inspecting({ allow: [{ rule: `good.example:${web.port}`, paths: ['/call'] }] }))
  const told = await hosted.sh(
    node(`
const session = require('http2').connect('https://HERE').on('error', () => undefined)
const ended = (stream) => new Promise((resolve) => stream.on('error', () => undefined).on('close', resolve).resume())
const back = Array.from({ length: 50 }, (_, index) => {
  const stream = session.request({ ':method': 'POST', ':path': index % 2 ? '/shut' : '/call' }, { endStream: false })
  stream.write('x'.repeat(index * 100), () => stream.close(8))
  return ended(stream)
})
Promise.all(back).then(() => {
  const last = session.request({ ':path': '/call' }).on('response', (headers) => console.log(headers[':status'])).on('close', () => session.close())
  last.resume()
})
`),
  )
  expect(told).toBe('200\n')
})

test('a client whose last fields cannot be said ends its own question alone', async () => {
  const { hosted, web } = spec()
  hosted.airlock.replace(hosted.id, inspecting({ allow: [`good.example:${web.port}`] }))
  const told = await hosted.python(
    TLS +
      python`
def frame(kind, flags, stream, payload):
    return struct.pack('!I', len(payload))[1:] + bytes([kind, flags]) + struct.pack('!I', stream) + payload
def fields(*pairs):
    return b''.join(b'\0' + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in pairs)
def asked(path):
    return fields((b':method', b'POST'), (b':scheme', b'https'), (b':authority', facts['here'].encode()), (b':path', path))
def taken(length):
    got = b''
    while len(got) < length:
        got += one.recv(length - len(got))
    return got
one = secured('good.example', facts['port'], alpn=('h2',))
one.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + frame(4, 0, 0, b''))
# One field twice that HTTP/2 has once in the eyes of Node.
one.sendall(frame(1, 4, 1, asked(b'/call')) + frame(0, 0, 1, b'body') + frame(1, 5, 1, fields((b'etag', b'1'), (b'etag', b'2'))))
one.sendall(frame(1, 5, 3, asked(b'/call')))
ended = set()
while ended != {1, 3}:
    head = taken(9)
    payload = taken(int.from_bytes(head[:3], 'big'))
    stream = int.from_bytes(head[5:], 'big')
    if head[3] == 3 or head[4] & 1 and head[3] < 2:
        ended.add(stream)
print('both')
`,
    { port: web.port, here: spec().here },
  )
  expect(told).toBe('both\n')
})

test('a server that breaks off breaks off the answer, and a client that goes away is noticed', async () => {
  const { hosted, authority } = spec()
  let gone = 0
  using slow = await Web.open({
    identity: await authority.identity(['other.example']),
    serve(request, response) {
      if (request.url === '/cut') {
        ;(response as Http2ServerResponse).stream.respond({ ':status': 200 })
        ;(response as Http2ServerResponse).stream.write('half', () => (request as Http2ServerRequest).stream.session?.destroy())
      } else (request as Http2ServerRequest).stream.on('close', () => (gone += 1))
    },
  })
  hosted.airlock.replace(hosted.id, inspecting({ allow: [`other.example:${slow.port}`] }))
  expect(await hosted.sh(`curl -sS --max-time 20 https://other.example:${slow.port}/cut; echo " exit $?"`)).toMatch(/exit (92|18|56)\n$/)
  expect(await hosted.sh(`curl -sS --max-time 1 https://other.example:${slow.port}/wait; echo " exit $?"`)).toMatch(/exit 28\n$/)
  await expect.poll(() => gone).toBe(1)
})
