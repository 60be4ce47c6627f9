import { expect, test } from 'vitest'
import { python } from './gated.ts'
import { Hosted, inspecting, rules } from './hosted.ts'
import { lookedInto, TLS } from './looked-into.ts'
import { Canary } from './servers.ts'
import { Web } from './web.ts'

/** `/open` may be asked for, by GET and POST, and nothing else. */
const spec = lookedInto(
  {
    serve(request, response) {
      if (request.url === '/open/away') response.writeHead(302, { location: 'https://other.example/caught' }).end()
      else response.end(`heard ${request.url}\n`)
    },
  },
  ({ port }) => ({ allow: [{ rule: `good.example:${port}`, methods: ['GET', 'POST'], paths: ['/open/**'] }] }),
)
const paths = () => spec().web.heard.map(({ path }) => path)

test('each request of a connection that is kept is judged, whatever the first one was', async () => {
  const { hosted, web, here } = spec()
  const before = paths().length
  const program = python`
one = secured('good.example', facts['port'])
stream = one.makefile('rb')
for line in ['GET /open/1', 'GET /shut', 'GET /open/2', 'DELETE /open/2', 'GET /open/3']:
    one.sendall(f"{line} HTTP/1.1\r\nHost: good.example\r\n\r\n".encode())
    print(answer(stream)[0])
one.sendall(b"".join(f"GET {path} HTTP/1.1\r\nHost: good.example\r\n\r\n".encode() for path in ['/open/4', '/shut', '/open/5']))
print([answer(stream)[0] for _ in range(3)])
`
  expect(await hosted.python(TLS + program, { port: web.port })).toBe('200\n403\n200\n403\n200\n[200, 403, 200]\n')
  expect(paths().slice(before)).toEqual(['/open/1', '/open/2', '/open/3', '/open/4', '/open/5'])
  const refused = hosted.of('network-request').filter(({ verdict }) => verdict === 'deny')
  expect(refused[0]).toMatchObject({ method: 'GET', path: '/shut', rule: 'mode allow', wouldAllow: `GET https://${here}/shut` })
})

test('the reason is told to the program', async () => {
  const { hosted, here } = spec()
  const told = await hosted.sh(`curl -sS --max-time 20 https://${here}/shut`)
  expect(JSON.parse(told)).toMatchObject({ code: 'NETWORK_DENIED', rule: 'mode allow', wouldAllow: `GET https://${here}/shut` })
})

/** A second request within what one reader takes for a body, and another for the next request. */
const HIDDEN = 'GET /shut HTTP/1.1\\r\\nHost: good.example\\r\\n\\r\\n'
const SMUGGLED: Record<string, string> = {
  'length and chunks': `POST /open/a HTTP/1.1\\r\\nHost: good.example\\r\\nContent-Length: 4\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n${HIDDEN}`,
  'two lengths': `POST /open/a HTTP/1.1\\r\\nHost: good.example\\r\\nContent-Length: 0\\r\\nContent-Length: 44\\r\\n\\r\\n${HIDDEN}`,
  'a length with a plus': `POST /open/a HTTP/1.1\\r\\nHost: good.example\\r\\nContent-Length: +44\\r\\n\\r\\n${HIDDEN}`,
  'chunks by another name': `POST /open/a HTTP/1.1\\r\\nHost: good.example\\r\\nTransfer-Encoding: xchunked\\r\\n\\r\\n0\\r\\n\\r\\n${HIDDEN}`,
  'chunks, then something': `POST /open/a HTTP/1.1\\r\\nHost: good.example\\r\\nTransfer-Encoding: chunked, identity\\r\\n\\r\\n0\\r\\n\\r\\n${HIDDEN}`,
  'chunks twice': `POST /open/a HTTP/1.1\\r\\nHost: good.example\\r\\nTransfer-Encoding: chunked\\r\\nTransfer-Encoding: identity\\r\\n\\r\\n0\\r\\n\\r\\n${HIDDEN}`,
  'a space before the colon': `POST /open/a HTTP/1.1\\r\\nHost: good.example\\r\\nTransfer-Encoding : chunked\\r\\nContent-Length: 44\\r\\n\\r\\n0\\r\\n\\r\\n${HIDDEN}`,
  'a folded line': `POST /open/a HTTP/1.1\\r\\nHost: good.example\\r\\nX: y\\r\\n Transfer-Encoding: chunked\\r\\nContent-Length: 44\\r\\n\\r\\n${HIDDEN}`,
  'a bare line feed': `GET /open/a HTTP/1.1\\nHost: good.example\\n\\n${HIDDEN}`,
  'a bare line feed in a head': `GET /open/a HTTP/1.1\\r\\nHost: good.example\\r\\nX: y\\nContent-Length: 44\\r\\n\\r\\n${HIDDEN}`,
  'a bare carriage return': `GET /open/a HTTP/1.1\\r\\nHost: good.example\\r\\nX: y\\rContent-Length: 44\\r\\n\\r\\n${HIDDEN}`,
  'a chunk with a sign': `POST /open/a HTTP/1.1\\r\\nHost: good.example\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n-1\\r\\n\\r\\n${HIDDEN}`,
  'a chunk of hexadecimal': `POST /open/a HTTP/1.1\\r\\nHost: good.example\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0x0\\r\\n\\r\\n${HIDDEN}`,
  'a chunk that overflows': `POST /open/a HTTP/1.1\\r\\nHost: good.example\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n10000000000000000\\r\\n\\r\\n${HIDDEN}`,
  'two hosts': `GET /open/a HTTP/1.1\\r\\nHost: good.example\\r\\nHost: other.example\\r\\n\\r\\n${HIDDEN}`,
  'no host': `GET /open/a HTTP/1.1\\r\\n\\r\\n${HIDDEN}`,
  'a NUL in a field': `GET /open/a HTTP/1.1\\r\\nHost: good.example\\r\\nX: a\\0b\\r\\n\\r\\n${HIDDEN}`,
  'a tab in the request line': `GET\\t/open/a HTTP/1.1\\r\\nHost: good.example\\r\\n\\r\\n${HIDDEN}`,
  'a body to an upgrade': `POST /open/a HTTP/1.1\\r\\nHost: good.example\\r\\nConnection: upgrade\\r\\nUpgrade: h2c\\r\\nContent-Length: 44\\r\\n\\r\\n${HIDDEN}`,
}

test.for(Object.entries(SMUGGLED))('%s: what is hidden is not heard', async ([, request]) => {
  const { hosted, web } = spec()
  const before = paths().length
  const program = `print(said(secured('good.example', facts['port']), "${request}").replace('\\r', '').split('\\n')[0])`
  const told = await hosted.python(TLS + program, { port: web.port })
  expect(told).toMatch(/^HTTP\/1\.1 (400|403|501)|^ECONNRESET|^$|EOF|^\n$/)
  expect(
    paths()
      .slice(before)
      .filter((path) => path !== '/open/a'),
  ).toEqual([])
})

test('without the wall: the same bytes reach a server that hears what is hidden', async () => {
  const { hosted } = spec()
  const requests: string[] = []
  // It believes the length, as many do, and takes what comes after for the next request.
  using naive = await Canary.open((peer) => {
    let text = ''
    peer.on('data', (bytes) => {
      text += bytes.toString('latin1')
      requests.splice(0, requests.length, ...(text.match(/^(GET|POST) \S+/gm) ?? []))
    })
  })
  hosted.airlock.replace(hosted.id, rules([`good.example:${naive.port}`]))
  const program = `
one = opened('good.example', facts['port'])
one.sendall("${SMUGGLED['length and chunks']}".encode())
time.sleep(0.3)
`
  await hosted.python(program, { port: naive.port })
  await expect.poll(() => requests).toEqual(['POST /open/a', 'GET /shut'])
  const { web } = spec()
  hosted.airlock.replace(
    hosted.id,
    inspecting({ allow: [{ rule: `good.example:${web.port}`, methods: ['GET', 'POST'], paths: ['/open/**'] }] }),
  )
})

/** Written so that a server may take them for `/shut`. */
const TRAPS = [
  '/open/../shut',
  '/open/%2e%2e/shut',
  '/open/..%2fshut',
  '/open/%252e%252e/shut',
  '/open//../shut',
  '/open\\shut',
  '/open/..;/shut',
  '/open/%2e%2e%5cshut',
  '/open/a%00/shut',
  '//open/a',
  '/OPEN/a',
  '/open%2fa',
]

test.for(TRAPS)('the path %s is nothing that a rule about /open speaks of', async (path) => {
  const { hosted, here } = spec()
  const before = paths().length
  const told = await hosted.sh(`curl -sS --max-time 20 --path-as-is -o /dev/null -w "%{http_code}" 'https://${here}${path}'`)
  expect(told).toMatch(/^(403|400)$/)
  expect(paths()).toHaveLength(before)
})

test('a header that says another method is judged as that method too', async () => {
  const { hosted, here } = spec()
  const before = paths().length
  expect(await hosted.sh(`curl -sS --max-time 20 -X POST -H "X-HTTP-Method-Override: DELETE" https://${here}/open/a`)).toContain(
    'NETWORK_DENIED',
  )
  expect(paths()).toHaveLength(before)
})

test('a redirect is the program’s to follow, and what it leads to is judged like anything else', async () => {
  const { hosted, here, authority } = spec()
  using other = await Web.open({ identity: await authority.identity(['other.example']) })
  const told = await hosted.sh(
    `curl -sSL --max-time 20 --connect-to other.example:443:other.example:${other.port} https://${here}/open/away; echo "exit $?"`,
  )
  expect(told).toMatch(/resolve|reset|NETWORK_DENIED/i)
  expect(other.connections).toBe(0)
})

test('rules about requests hold without TLS and behind each proxy, and the query is not theirs', async () => {
  using plain = await Web.open()
  await using hosted = await Hosted.open(inspecting({ allow: [`GET http://good.example:${plain.port}/open/*`] }), spec().authority.path)
  const url = `http://good.example:${plain.port}`
  for (const way of ['', '-x http://127.0.0.1:3128', '-p -x http://127.0.0.1:3128', '-x socks5h://127.0.0.1:1080']) {
    const ask = (path: string) => hosted.sh(`curl -sS --max-time 20 ${way} -o /dev/null -w "%{http_code}" '${url}${path}'`)
    expect([way, await ask('/open/a?path=/shut'), await ask('/shut?path=/open/a'), await ask('/open/a/b')]).toEqual([
      way,
      '200',
      '403',
      '403',
    ])
  }
  expect(new Set(plain.heard.map(({ path }) => path))).toEqual(new Set(['/open/a?path=/shut']))
  const logged = hosted.of('network-request').map(({ path }) => path)
  expect(logged.filter((path) => path.includes('?'))).toEqual([])
})
