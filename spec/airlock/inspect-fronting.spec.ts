import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { python } from './gated.ts'
import { Hosted, inspecting, rules } from './hosted.ts'
import { lookedInto, TLS } from './looked-into.ts'
import { Canary, echo } from './servers.ts'
import { Authority, Web } from './web.ts'

const spec = lookedInto({}, ({ port }) => ({ allow: [`good.example:${port}`, `127.0.0.1:${port}`] }))
const denials = (rule: string) =>
  spec()
    .hosted.of('network')
    .filter((record) => record.rule === rule && record.verdict === 'deny')

/** Host, and the server that TLS names: what is one server to a front is another behind it. */
const FRONTED = python`
def get(host, path='/', sni=None, to='good.example'):
    one = secured(to, facts['port'], sni)
    return said(one, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").split('\r\n')[0]
`

test('without the wall: a tunnel carries another name than the one that it was opened for', async () => {
  const { authority, web } = spec()
  await using open = await Hosted.open(rules([`good.example:${web.port}`]), authority.path)
  const program = python`print(get('hidden.example'))`
  const before = web.heard.length
  const told = await open.python(TLS + FRONTED.replace('secured(to', 'unchecked(to') + UNCHECKED + program, { port: web.port })
  expect(told).toContain('200 OK')
  expect(web.heard.at(before)?.headers['host']).toBe('hidden.example')
})

/** It does not look at the certificate: that of the server itself is not trusted inside. */
const UNCHECKED = python`
def unchecked(host, port, sni=None):
    context = ssl._create_unverified_context()
    return context.wrap_socket(opened(host, port), server_hostname=sni or host)
`

test('the name in TLS, the name that was asked for and the name in the request are one, or nothing goes out', async () => {
  const { hosted, web } = spec()
  const [heard, connections] = [web.heard.length, web.connections]
  const program = python`
attempt('sni', lambda: get('good.example', sni='other.example'))
attempt('both', lambda: get('other.example', sni='other.example'))
attempt('host', lambda: get('hidden.example'))
attempt('port', lambda: get('good.example:1'))
attempt('dotted', lambda: get('good.example.evil.test'))
attempt('absolute', lambda: get('good.example', path='https://other.example/'))
attempt('address', lambda: get('127.0.0.1'))
attempt('fine', lambda: get('GOOD.example.'))
`
  const told = (await hosted.python(TLS + FRONTED + program, { port: web.port })).trim().split('\n')
  expect(told[0]).toMatch(/^sni .*UNRECOGNIZED_NAME/i)
  expect(told[1]).toMatch(/^both .*UNRECOGNIZED_NAME/i)
  expect(told.slice(2)).toEqual([
    'host HTTP/1.1 421 Misdirected Request',
    'port HTTP/1.1 421 Misdirected Request',
    'dotted HTTP/1.1 421 Misdirected Request',
    'absolute HTTP/1.1 400 Bad Request',
    'address HTTP/1.1 421 Misdirected Request',
    'fine HTTP/1.1 200 OK',
  ])
  expect(web.heard.slice(heard)).toHaveLength(1)
  expect(web.connections - connections).toBeLessThanOrEqual(1)
  expect(denials('sni')[0]).toMatchObject({ name: 'good.example', reason: expect.stringContaining('other.example') })
  expect(denials('host').map(({ reason }) => reason)).toContainEqual(expect.stringContaining('hidden.example'))
})

test('a name needs to be said in TLS; to an address, none may be', async () => {
  const { hosted, web } = spec()
  const program = python`
def bare(to, sni=None, host=None):
    context = ssl.create_default_context()
    context.check_hostname = False
    one = context.wrap_socket(opened(to, facts['port']), server_hostname=sni)
    return said(one, f"GET / HTTP/1.1\r\nHost: {host or to}:{facts['port']}\r\nConnection: close\r\n\r\n").split('\r\n')[0]
attempt('none', lambda: bare('good.example'))
attempt('named', lambda: bare('192.0.2.1', sni='good.example'))
`
  hosted.airlock.replace(
    hosted.id,
    inspecting({ allow: [`good.example:${web.port}`, `192.0.2.1:${web.port}`] }, ['127.0.0.1', '192.0.2.1']),
  )
  const told = (await hosted.python(TLS + program, { port: web.port })).trim().split('\n')
  for (const line of told) expect(line).toMatch(/UNRECOGNIZED_NAME/i)
  const curl = await hosted.sh(`curl -sS --max-time 20 -w "%{http_code}" https://192.0.2.1:${web.port}/`)
  // TLS was fine: the address itself is what cannot be reached.
  expect(curl).toMatch(/UPSTREAM_FAILED[\s\S]*502$/)
  hosted.airlock.replace(hosted.id, inspecting({ allow: [`good.example:${web.port}`] }))
})

test('an encrypted hello hides nothing: what counts is its outside, and what is inside of TLS', async () => {
  const { hosted, web } = spec()
  const before = web.heard.length
  const program = python`
import subprocess
def hello(name):
    """A real one of OpenSSL's, with an extension of kind fe0d added to it."""
    context = ssl._create_unverified_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    record = bytearray(outgoing.read())
    body = record[9:]
    at = 34
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at:at+2], 'big')
    at += 1 + body[at]
    inner = b'\0' + struct.pack('!HHBH', 1, 1, 7, 32) + bytes(32) + struct.pack('!H', 144) + bytes(range(144))
    extension = struct.pack('!HH', 0xfe0d, len(inner)) + inner
    extensions = body[at+2:] + extension
    body = body[:at] + struct.pack('!H', len(extensions)) + extensions
    message = b'\x01' + len(body).to_bytes(3, 'big') + body
    return b'\x16\x03\x01' + struct.pack('!H', len(message)) + message
def kind(name):
    one = opened('good.example', facts['port'])
    one.sendall(hello(name))
    one.settimeout(5)
    head = one.recv(7)
    return 'alert %d' % head[6] if head[0] == 21 else 'server hello' if head[0] == 22 else head
attempt('outside', lambda: kind('other.example'))
attempt('same', lambda: kind('good.example'))
`
  // Nobody can read the inside but a server that has the key: here there is none, so TLS goes on with the outside, or not at all.
  expect(await hosted.python(TLS + program, { port: web.port })).toBe('outside alert 112\nsame server hello\n')
  expect(web.heard).toHaveLength(before)
})

test('what is neither TLS nor HTTP is reset where it cannot be looked into, and its server hears nothing', async () => {
  await using authority = await Authority.open()
  using canary = await Canary.open(echo)
  await using hosted = await Hosted.open(inspecting({ allow: ['good.example', 'other.example'] }), authority.path)
  const program = python`
def talk(first):
    one = opened('good.example', facts['port'])
    one.sendall(first)
    one.settimeout(20)
    return one.recv(100)
attempt('ssh', lambda: talk(b'SSH-2.0-OpenSSH_9.2\r\n'))
attempt('binary', lambda: talk(b'\0\1\2\3'))
attempt('bad tls', lambda: talk(b'\x16\x03\x01\x00\x05\x02aaaa'))
attempt('silence', lambda: opened('good.example', facts['port']).recv(1))
`
  const told = await hosted.python(program, { port: canary.port })
  expect(told.trim().split('\n')).toEqual(['ssh ECONNRESET', 'binary ECONNRESET', 'bad tls ECONNRESET', 'silence ECONNRESET'])
  expect([canary.connections, canary.bytes]).toEqual([0, 0])
  expect(hosted.of('network').filter(({ rule, verdict }) => rule === 'inspect' && verdict === 'deny')).toHaveLength(4)
})

test('a client that pins its server’s certificate fails at once, and says why', async () => {
  const { hosted, here, authority } = spec()
  await hosted.sh(`cat >/tmp/pinned.pem <<'END'\n${await readFile(authority.path, 'utf8')}END`)
  expect(await hosted.sh(`curl -sS --max-time 20 --cacert /tmp/pinned.pem https://${here}/; echo "exit $?"`)).toMatch(
    /self-signed|unable to get local issuer|SSL certificate problem[\s\S]*exit 60\n$/,
  )
  const pinned = await hosted.sh(
    `curl -sS --max-time 20 --pinnedpubkey "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" https://${here}/; echo "exit $?"`,
  )
  expect(pinned).toMatch(/public key.*exit 90\n$/is)
})

test('requests of other servers on one connection to the HTTP proxy are each judged for themselves', async () => {
  await using authority = await Authority.open()
  using web = await Web.open()
  await using hosted = await Hosted.open(rules([`good.example:${web.port}`]), authority.path)
  const program = python`
one = opened('127.0.0.1', 3128)
stream = one.makefile('rb')
port = facts['port']
for url, host in [(f'http://good.example:{port}/a', f'good.example:{port}'), (f'http://other.example:{port}/b', f'other.example:{port}'), (f'http://good.example:{port}/c', f'good.example:{port}'), (f'http://good.example:{port}/d', 'other.example')]:
    one.sendall(f'GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n'.encode())
    print(answer(stream)[0])
`
  expect(await hosted.python(TLS + program, { port: web.port })).toBe('200\n403\n200\n400\n')
  expect(web.heard.map(({ path }) => path)).toEqual(['/a', '/c'])
  expect(hosted.of('network-request').find(({ verdict }) => verdict === 'deny')).toMatchObject({
    name: 'other.example',
    wouldAllow: `GET http://other.example:${web.port}/b`,
  })
  expect(hosted.lookedUp).not.toContain('other.example')
})
