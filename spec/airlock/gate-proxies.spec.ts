import { beforeEach, expect, test } from 'vitest'
import { python, shared } from './gated.ts'
import { Canary, echo } from './servers.ts'

const gate = shared()

beforeEach(() => {
  const { airlock } = gate()
  airlock.asked.length = 0
  airlock.rules.name = () => false
  airlock.rules.connect = () => ({ verdict: 'deny' })
  airlock.rules.inspect = (peer) => peer.destroy()
})

const talk = python`
def http(said, more=b'', end=True):
    one = opened('127.0.0.1', 3128)
    one.sendall(said.encode('latin-1'))
    head = b''
    while b'\r\n\r\n' not in head:
        part = one.recv(65536)
        if not part:
            break
        head += part
    first = head.split(b'\r\n')[0].decode()
    rest = head.partition(b'\r\n\r\n')[2]
    if more:
        one.sendall(more)
        one.shutdown(socket.SHUT_WR)
    while part := one.recv(65536):
        rest += part
    return first, rest.decode()

def socks(request, more=b'', greeting=b'\x05\x01\x00'):
    one = opened('127.0.0.1', 1080)
    one.sendall(greeting)
    answer = one.recv(2)
    if answer != b'\x05\x00':
        return answer.hex()
    one.sendall(request)
    reply = b''
    while len(reply) < 10 and (part := one.recv(10 - len(reply))):
        reply += part
    if reply[1:2] != b'\x00':
        return reply[:2].hex()
    return reply[:2].hex(), exchange(one, more)

def named(name, port):
    return b'\x05\x01\x00\x03' + bytes([len(name)]) + name + struct.pack('!H', port)
`

test('CONNECT and SOCKS5 reach what the host allows, by name and by address', async () => {
  using server = await Canary.open(echo)
  const { airlock } = gate()
  airlock.rules.connect = () => ({ verdict: 'tunnel', dial: ['127.0.0.1'] })
  const code = python`
port = facts['port']
attempt('connect', lambda: http(f'CONNECT Server.Example:{port} HTTP/1.1\r\nHost: x\r\n\r\n', b'hello'))
attempt('connect v4', lambda: http(f'CONNECT 203.0.113.7:{port} HTTP/1.1\r\n\r\n', b'hello'))
attempt('connect v6', lambda: http(f'CONNECT [2001:db8::7]:{port} HTTP/1.1\r\n\r\n', b'hello'))
attempt('connect mapped', lambda: http(f'CONNECT [::ffff:203.0.113.7]:{port} HTTP/1.0\r\n\r\n', b'hello'))
attempt('connect early', lambda: http(f'CONNECT server.example:{port} HTTP/1.1\r\n\r\nearly ', b'hello'))
attempt('socks', lambda: socks(named(b'Server.Example', port), b'hello'))
attempt('socks v4', lambda: socks(b'\x05\x01\x00\x01' + socket.inet_aton('203.0.113.7') + struct.pack('!H', port), b'hello'))
attempt('socks v6', lambda: socks(b'\x05\x01\x00\x04' + socket.inet_pton(socket.AF_INET6, '2001:db8::7') + struct.pack('!H', port), b'hello'))
attempt('socks mapped', lambda: socks(b'\x05\x01\x00\x04' + socket.inet_pton(socket.AF_INET6, '::ffff:203.0.113.7') + struct.pack('!H', port), b'hello'))
`
  const told = await gate().python(talk + code, { port: server.port })
  const yes = "('HTTP/1.1 200 Connection established', 'hello')"
  expect(told.trim().split('\n')).toEqual([
    `connect ${yes}`,
    `connect v4 ${yes}`,
    `connect v6 ${yes}`,
    `connect mapped ${yes}`,
    "connect early ('HTTP/1.1 200 Connection established', 'early hello')",
    ...['socks', 'socks v4', 'socks v6', 'socks mapped'].map((way) => `${way} ('0500', b'hello')`),
  ])
  const asked = airlock.of('connect').map(({ name, address, way }) => [way, name ?? address])
  const targets = ['server.example', '203.0.113.7', '2001:db8::7', '203.0.113.7']
  expect(asked).toEqual([
    ...targets.map((target) => ['connect', target]),
    ['connect', 'server.example'],
    ...targets.map((target) => ['socks5', target]),
  ])
})

test('a denial is an answer that a program can read, and no server hears of it', async () => {
  using server = await Canary.open(echo)
  gate().airlock.rules.connect = () => ({ verdict: 'deny', dial: ['127.0.0.1'] })
  const code = python`
port = facts['port']
attempt('connect', lambda: http(f'CONNECT server.example:{port} HTTP/1.1\r\n\r\nearly'))
attempt('http', lambda: http(f'GET http://server.example:{port}/path HTTP/1.1\r\nHost: server.example\r\n\r\n'))
attempt('socks', lambda: socks(named(b'server.example', port)))
`
  const told = (await gate().python(talk + code, { port: server.port })).trim().split('\n')
  expect(told[0]).toMatch(/^connect \('HTTP\/1.1 403 Forbidden', '{"code":"NETWORK_DENIED","message":".*not allowed.*"}/)
  expect(told[1]).toMatch(/^http \('HTTP\/1.1 403 Forbidden', '{"code":"NETWORK_DENIED"/)
  expect(told[2]).toBe('socks 0502')
  expect([server.connections, server.bytes]).toEqual([0, 0])
})

test('the host refuses in its own words, and looks into what it wants to', async () => {
  const { airlock } = gate()
  const heard: [number, string][] = []
  airlock.rules.inspect = (peer, connection) => {
    let said = ''
    peer.on('data', (bytes) => {
      said += bytes.toString()
    })
    peer.on('end', () => {
      heard.push([connection, said])
      peer.end()
    })
    peer.write('HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n\r\nthe rules')
    peer.end()
  }
  airlock.rules.connect = ({ name }) => ({ verdict: name === 'seen.example' ? 'inspect' : 'refuse' })
  airlock.rules.name = () => true
  const code = python`
attempt('connect', lambda: http('CONNECT refused.example:443 HTTP/1.1\r\n\r\n', b'x'))
attempt('http', lambda: http('GET http://refused.example/path HTTP/1.1\r\nHost: refused.example\r\n\r\n', b'body'))
attempt('direct', lambda: exchange(opened('refused.example', 80), b'GET / HTTP/1.1\r\n\r\n'))
attempt('socks', lambda: socks(named(b'refused.example', 80)))
attempt('inspect', lambda: http('CONNECT seen.example:443 HTTP/1.1\r\n\r\n', b'x'))
`
  const told = (await gate().python(talk + code)).trim().split('\n')
  expect(told[0]).toBe("connect ('HTTP/1.1 403 Forbidden', 'the rules')")
  expect(told[1]).toBe("http ('HTTP/1.1 403 Forbidden', 'the rules')")
  expect(told[2]).toMatch(/^direct b'HTTP\/1.1 403 Forbidden.*the rules'$/)
  expect(told[3]).toBe('socks 0502')
  expect(told[4]).toMatch(/^inspect \('HTTP\/1.1 200 Connection established', 'HTTP\/1.1 403 .*the rules'\)$/)
  await expect.poll(() => heard.length).toBe(4)
  const asked = airlock.of('connect')
  expect(heard.sort(([one], [other]) => one - other)).toEqual([
    [asked[0]?.connection, 'x'],
    [asked[1]?.connection, 'GET http://refused.example/path HTTP/1.1\r\nHost: refused.example\r\n\r\nbody'],
    [asked[2]?.connection, 'GET / HTTP/1.1\r\n\r\n'],
    [asked[4]?.connection, 'x'],
  ])
  // A request to a proxy can be followed by others to other servers, so it is never joined to one.
  expect(asked.map(({ way }) => way)).toEqual(['connect', 'http-proxy', 'direct', 'socks5', 'connect'])
})

test('what is not exactly a request is refused without asking', async () => {
  const { airlock } = gate()
  airlock.rules.connect = () => ({ verdict: 'tunnel', dial: ['127.0.0.1'] })
  const code = python`
heads = [
    'CONNECT a.example HTTP/1.1\r\n\r\n', 'CONNECT a.example:0 HTTP/1.1\r\n\r\n', 'CONNECT a.example:99999 HTTP/1.1\r\n\r\n',
    'CONNECT 0177.0.0.1:80 HTTP/1.1\r\n\r\n', 'CONNECT 2130706433:80 HTTP/1.1\r\n\r\n', 'CONNECT 0x7f.1:80 HTTP/1.1\r\n\r\n',
    'CONNECT a%00.example:80 HTTP/1.1\r\n\r\n', 'CONNECT a\0.example:80 HTTP/1.1\r\n\r\n', 'CONNECT a..example:80 HTTP/1.1\r\n\r\n',
    'CONNECT b\xfccher.example:80 HTTP/1.1\r\n\r\n', 'CONNECT user@a.example:80 HTTP/1.1\r\n\r\n',
    'CONNECT a.example:80 HTTP/1.1\r\nContent-Length: 5\r\n\r\n', 'CONNECT a.example:80 HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n',
    'CONNECT a.example:80 HTTP/1.1\nHost: b\n\n', 'CONNECT a.example:80  HTTP/1.1\r\n\r\n', 'CONNECT a.example:80 HTTP/2.0\r\n\r\n',
    'GET /path HTTP/1.1\r\nHost: a.example\r\n\r\n', 'GET https://a.example/ HTTP/1.1\r\n\r\n', 'GET http://u:p@a.example/ HTTP/1.1\r\n\r\n',
    'GET http://a.example/ HTTP/1.1\r\nX: 1\r\n folded\r\n\r\n', 'GET http://a.example\\@b.example/ HTTP/1.1\r\n\r\n', 'GET http:///x HTTP/1.1\r\n\r\n',
    'X' * 20000,
]
print([first.split(' ')[1] if first else first for first, _ in map(http, heads)])
requests = [
    b'\x05\x02\x00' + named(b'a.example', 80)[3:], b'\x05\x03\x00' + named(b'a.example', 80)[3:], b'\x05\x01\x01' + named(b'a.example', 80)[3:],
    b'\x05\x01\x00\x05aaaa', named(b'a\0.example', 80), named(b'0177.0.0.1', 80), named(b'', 80), named(b'a.example', 0), b'\x04\x01\x00\x50\x7f\x00\x00\x01\x00',
]
print([socks(request) for request in requests])
print(socks(b'', greeting=b'\x05\x01\x02'))
`
  const told = (await gate().python(talk + code)).trim().split('\n')
  expect(told[0]).toBe(`[${Array.from({ length: 23 }, () => "'400'").join(', ')}]`)
  expect(told[1]).toBe("['0507', '0507', '0501', '0508', '0501', '0501', '0501', '0501', '0501']")
  expect(told[2]).toBe('05ff')
  expect(airlock.of('connect')).toEqual([])
  const counted = () => airlock.of('refused').reduce((sum, { what, count }) => sum + (what === 'proxy' ? count : 0), 0)
  await expect.poll(counted, { timeout: 5000 }).toBe(33)
})
