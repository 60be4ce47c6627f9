import { createHash, randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { expect, test } from 'vitest'
import { python } from './gated.ts'
import { inspecting } from './hosted.ts'
import { lookedInto, TLS } from './looked-into.ts'
import { Authority, Web } from './web.ts'

const MIB = 1024 * 1024
const big = randomBytes(3 * MIB)
const sha = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')

const spec = lookedInto({
  serve(request, given, heard) {
    const response = given as ServerResponse
    const path = request.url ?? ''
    if (path === '/big') {
      response.setHeader('content-length', big.length)
      return void response.end(big)
    }
    if (path === '/chunked') {
      response.writeHead(200, { trailer: 'x-sum', 'x-twice': ['a', 'b'] })
      response.write('one,')
      response.write('two')
      response.addTrailers({ 'x-sum': '2' })
      return void response.end()
    }
    if (path === '/cut') {
      response.writeHead(200, { 'content-length': '100' })
      response.write('half of it')
      return void setTimeout(() => request.socket.destroy(), 20)
    }
    if (path === '/early') return response.writeEarlyHints({ link: '</a>; rel=preload' }, () => response.end('late'))
    if (path === '/empty') return void response.writeHead(204).end()
    response.end(`${heard.method} ${heard.body.length} ${sha(Buffer.from(heard.body, 'latin1'))}\n`)
  },
})

const curl = (path: string, options = '') => `curl -sS --max-time 20 --http1.1 ${options} https://${spec().here}${path}`

test('an allowed request is asked of the server, with its name, its fields and its query, and is in the log', async () => {
  const { hosted, web, here } = spec()
  expect(await hosted.sh(curl('/a%20b?q=1', '-H "X-Own: yes"'))).toMatch(/^GET 0 /)
  const heard = web.heard.at(-1)
  expect(heard).toMatchObject({ version: '1.1', path: '/a%20b?q=1', headers: { host: here, 'x-own': 'yes' } })
  expect(heard?.headers['connection']).toBe('keep-alive')
  expect(hosted.of('network').at(-1)).toMatchObject({ name: 'good.example', verdict: 'inspect' })
  expect(hosted.of('network-request').at(-1)).toMatchObject({
    sandbox: hosted.id,
    name: 'good.example',
    scheme: 'https',
    method: 'GET',
    path: '/a%20b',
    verdict: 'allow',
    rule: `allow ${here}`,
  })
})

test('bodies pass whole both ways, with a length, in chunks, and after a 100', async () => {
  const { hosted } = spec()
  const told = await hosted.sh(
    [
      'head -c 5000000 /dev/urandom >/tmp/up && sha256sum </tmp/up',
      curl('/up', '--data-binary @/tmp/up'),
      curl('/up', '-H "Expect: 100-continue" -T /tmp/up'),
      `cat /tmp/up | ${curl('/up', '-H "Transfer-Encoding: chunked" -T -')}`,
      `${curl('/big')} | sha256sum`,
    ].join('\n'),
  )
  const [sum = '', ...lines] = told.trim().split('\n')
  const digest = sum.split(' ')[0]
  expect(lines.slice(0, 3)).toEqual([`POST 5000000 ${digest}`, `PUT 5000000 ${digest}`, `PUT 5000000 ${digest}`])
  expect(lines[3]).toContain(sha(big))
})

test('trailers, hints and repeated fields pass; a body that was cut off is told from a whole one', async () => {
  const { hosted, web } = spec()
  const chunked = await hosted.sh(curl('/chunked', '-i --raw'))
  expect(chunked).toMatch(/x-twice: a\r\nx-twice: b/i)
  expect(chunked).toMatch(/one,[\s\S]*two[\s\S]*x-sum: 2/i)
  expect(await hosted.sh(curl('/early', '-i'))).toMatch(/103 Early Hints[\s\S]*preload[\s\S]*200 OK[\s\S]*late/)
  expect(await hosted.sh(curl('/empty', '-o /dev/null -w "%{http_code} %{size_download}"'))).toBe('204 0')
  expect(await hosted.sh(curl('/big', '-I -w "%{size_download}"'))).toMatch(new RegExp(`content-length: ${big.length}[\\s\\S]*\n0$`, 'i'))
  expect(await hosted.sh(`${curl('/cut')}; echo " exit $?"`)).toMatch(/exit 18\n$/)
  const code = python`
one = secured('good.example', facts['port'])
print(said(one, f"POST /up HTTP/1.1\r\nHost: good.example\r\nTransfer-Encoding: chunked\r\nTrailer: x-end\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nx-end: yes\r\n\r\n"))
`
  expect(await hosted.python(TLS + code, { port: web.port })).toContain('POST 3 ')
  expect(web.heard.at(-1)).toMatchObject({ body: 'abc', trailers: { 'x-end': 'yes' } })
})

test('connections are kept on both sides, and those to the server by one sandbox alone', async () => {
  const { hosted, web, here } = spec()
  await hosted.sh(curl('/warm'))
  const before = web.connections
  const urls = Array.from({ length: 5 }, (_, index) => `https://${here}/k${index}`).join(' ')
  const told = await hosted.sh(
    `curl -sS --max-time 20 --http1.1 $(printf -- '-o/dev/null %.0s' 1 2 3 4 5) -w "%{num_connects}" ${urls}; ${curl('/again')}`,
  )
  expect(told).toMatch(/^10000/)
  expect(web.connections - before).toBeLessThanOrEqual(1)
})

test('what is between two neighbours only is not handed on, and no request is more than it says', async () => {
  const { hosted, web } = spec()
  const code = python`
one = secured('good.example', facts['port'])
print(said(one, "GET /hop HTTP/1.1\r\nHost: good.example\r\nConnection: close, x-secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: gzip\r\nProxy-Authorization: x\r\nUpgrade: other\r\n\r\n").split('\r\n')[0])
`
  expect(await hosted.python(TLS + code, { port: web.port })).toMatch(/^HTTP\/1.1 200/)
  const { headers } = web.heard.at(-1) ?? { headers: {} }
  expect(Object.keys(headers).sort()).toEqual(['connection', 'host'])
})

test('a server that cannot be reached or believed is said to be so, and hears no request', async () => {
  const { hosted, web } = spec()
  await using strangers = await Authority.open()
  using untrusted = await Web.open({ identity: await strangers.identity(['good.example']) })
  hosted.airlock.replace(hosted.id, inspecting({ allow: ['good.example'] }))
  try {
    const strange = await hosted.sh(`curl -sS --max-time 20 -w "%{http_code}" https://good.example:${untrusted.port}/`)
    expect(strange).toMatch(/UPSTREAM_FAILED.*(SELF_SIGNED|UNABLE_TO_VERIFY|CERT_SIGNATURE_FAILURE)[\s\S]*502$/i)
    expect(untrusted.heard).toEqual([])
    expect(await hosted.sh('curl -sS --max-time 20 -w "%{http_code}" https://good.example:1/')).toMatch(/ECONNREFUSED[\s\S]*502$/)
  } finally {
    hosted.airlock.replace(hosted.id, inspecting({ allow: [`good.example:${web.port}`] }))
  }
})
