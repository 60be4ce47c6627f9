import { expect, test } from 'vitest'
import { Gated, python, shared } from './gated.ts'
import { Hosted, rules } from './hosted.ts'
import { Canary, echo } from './servers.ts'

const gate = shared()

const speak = python`
def speak(said):
    one = opened('203.0.113.7', facts['port'])
    if said:
        one.sendall(said)
    heard = b''
    while part := one.recv(65536):
        heard += part
    return heard.replace(b'\r\n\r\n', b' ').decode()
`

test('who is denied and speaks HTTP is told so at any port, once it has spoken; everybody else is reset, and nobody waits for long', async () => {
  using server = await Canary.open(echo)
  gate().airlock.rules.connect = () => ({ verdict: 'deny', dial: ['127.0.0.1'] })
  const code = python`
attempt('get', lambda: speak(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n').split(' ')[1])
def slowly():
    one = opened('203.0.113.7', facts['port'])
    for piece in [b'GE', b'T /a', b'bc HT', b'TP/1.1\r\n']:
        one.sendall(piece)
        time.sleep(0.05)
    return one.recv(65536).split(b' ')[1].decode()
attempt('slowly', slowly)
attempt('tls', lambda: speak(b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'))
attempt('http2 without a host', lambda: speak(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))
attempt('ssh', lambda: speak(b'SSH-2.0-x\r\n'))
started = time.monotonic()
attempt('silence', lambda: speak(b''))
attempt('half', lambda: speak(b'GET / HT'))
print(0.9 < time.monotonic() - started < 8)
`
  expect(await gate().python(speak + code, { port: server.port })).toBe(
    'get 403\nslowly 403\ntls ECONNRESET\nhttp2 without a host ECONNRESET\nssh ECONNRESET\nsilence ECONNRESET\nhalf ECONNRESET\nTrue\n',
  )
  expect([server.connections, server.bytes]).toEqual([0, 0])
})

test('a server that cannot be reached is told in the same way', async () => {
  const closed = await Canary.open(echo)
  closed[Symbol.dispose]()
  gate().airlock.rules.connect = () => ({ verdict: 'tunnel', dial: ['127.0.0.1'] })
  const code = python`
attempt('get', lambda: speak(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n'))
attempt('tls', lambda: speak(b'\x16\x03\x01'))
`
  const told = await gate().python(speak + code, { port: closed.port })
  expect(told).toMatch(/^get HTTP\/1\.1 502 Bad Gateway[\s\S]*"NETWORK_UNREACHABLE"[\s\S]*\ntls ECONNRESET\n$/)
})

test('the rule is named at any port, in HTTP/1 and in HTTP/2', async () => {
  using server = await Canary.open(echo)
  await using hosted = await Hosted.open(rules(['good.example:1']))
  for (const [how, version] of [
    ['', '1.1'],
    ['--http2-prior-knowledge', '2'],
  ] as const) {
    const told = await hosted.sh(`curl -sS ${how} --max-time 20 -w '%{http_code} %{http_version}' http://good.example:${server.port}/`)
    expect(told.split('\n')[1]).toBe(`403 ${version}`)
    expect(JSON.parse(told.split('\n')[0] ?? '')).toMatchObject({
      code: 'NETWORK_DENIED',
      rule: 'mode allow',
      wouldAllow: `good.example:${server.port}`,
      hint: `caisson why ${hosted.id}`,
    })
  }
  expect([server.connections, server.bytes]).toEqual([0, 0])
})

test('connections that wait to be told count as connections', async () => {
  using server = await Canary.open(echo)
  await using gated = await Gated.open({}, ({ limits }) => ({ limits: { ...limits, openFiles: 4096 } }))
  const { airlock } = gated
  airlock.rules.connect = () => ({ verdict: 'deny' })
  const code = python`
ones = []
for _ in range(2500):
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(('203.0.113.7', facts['port']))
    ones.append(one)
poller = select.poll()
for one in ones:
    poller.register(one, select.POLLHUP)
left = {one.fileno() for one in ones}
while left:
    for fd, _ in poller.poll():
        poller.unregister(fd)
        left.discard(fd)
print('all ended')
`
  expect(await gated.python(code, { port: server.port })).toBe('all ended\n')
  airlock.rules.connect = () => ({ verdict: 'tunnel', dial: ['127.0.0.1'] })
  expect(await gated.python(python`print(exchange(opened('203.0.113.7', facts['port'])))`, { port: server.port })).toBe("b'hello'\n")
})
