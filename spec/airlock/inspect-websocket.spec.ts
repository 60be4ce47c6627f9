import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { expect, test } from 'vitest'
import { python } from './gated.ts'
import { inspecting } from './hosted.ts'
import { lookedInto, TLS } from './looked-into.ts'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const frames: Buffer[] = []
const asked: IncomingMessage[] = []

/** Says back the bytes of every frame, not masked any more, each as a message. */
function serve(request: IncomingMessage, socket: Duplex): void {
  asked.push(request)
  if (request.url === '/no') return void socket.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 6\r\n\r\nno way')
  const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}${GUID}`).digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n`,
  )
  let rest = Buffer.alloc(0)
  socket
    .on('error', () => socket.destroy())
    .on('data', (bytes: Buffer) => {
      rest = Buffer.concat([rest, bytes])
      for (;;) {
        if (rest.length < 2) return
        const short = (rest[1] ?? 0) & 127
        const size = short === 126 ? 4 : short === 127 ? 10 : 2
        if (rest.length < size + 4) return
        const length = short === 126 ? rest.readUInt16BE(2) : short === 127 ? Number(rest.readBigUInt64BE(2)) : short
        if (rest.length < size + 4 + length) return
        const key = rest.subarray(size, size + 4)
        const payload = Buffer.from(rest.subarray(size + 4, size + 4 + length)).map((byte, at) => byte ^ (key[at % 4] ?? 0))
        frames.push(Buffer.concat([rest.subarray(0, 1), payload]))
        const head = length < 126 ? Buffer.from([rest[0] ?? 0, length]) : Buffer.from([rest[0] ?? 0, 126, length >> 8, length & 255])
        if (length < 65_536) socket.write(Buffer.concat([head, payload]))
        rest = rest.subarray(size + 4 + length)
      }
    })
}

const spec = lookedInto({ protocols: ['http/1.1'], upgrade: serve }, ({ port }) => ({
  allow: [{ rule: `good.example:${port}`, methods: ['GET'], paths: ['/ws', '/no'] }],
}))

const SOCKET = python`
def upgrade(path, more='', host='good.example'):
    one = secured('good.example', facts['port'])
    one.settimeout(10)
    stream = one.makefile('rb')
    one.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n".encode())
    head = b''
    while (line := stream.readline().strip()):
        head += line.lower() + b'\n'
    return one, stream, head.decode()
def frame(kind, payload, last=True, mask=b'\1\2\3\4'):
    length = len(payload)
    head = bytes([(128 if last else 0) | kind]) + (bytes([128 | length]) if length < 126 else b'\xfe' + struct.pack('!H', length) if length < 65536 else b'\xff' + struct.pack('!Q', length))
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
def heard(stream):
    head = stream.read(2)
    if len(head) < 2:
        return None
    length = head[1] & 127
    if length == 126:
        length = struct.unpack('!H', stream.read(2))[0]
    return head[0], stream.read(length)
def message(stream):
    """Its kind, and its length in all: a long one may come in other pieces than it went."""
    kind, payload = heard(stream)
    whole, last = payload, kind
    while not last & 128:
        last, payload = heard(stream)
        whole += payload
    return kind & 15, len(whole)
`

test('a web socket passes both ways, in messages of any length and form, without an extension that would hide them', async () => {
  const { hosted, web } = spec()
  const program = python`
one, stream, head = upgrade('/ws', 'Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n')
print(head.split('\n')[0], 'sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=' in head, 'chat' in head, 'extensions' in head)
for sent in [frame(1, b'hello'), frame(2, bytes(range(256)) * 8), frame(9, b'ping'), frame(1, b'a' * 40000)]:
    one.sendall(sent)
    print(*message(stream))
one.sendall(frame(1, b'first ', last=False) + frame(9, b'between') + frame(0, b'second'))
print([heard(stream) for _ in range(3)])
one.sendall(frame(8, b''))
print(heard(stream)[0])
`
  const told = (await hosted.python(TLS + SOCKET + program, { port: web.port })).trim().split('\n')
  expect(told.slice(0, 5)).toEqual(['http/1.1 101 switching protocols True True False', '1 5', '2 2048', '9 4', '1 40000'])
  expect(told.at(-2)).toBe("[(1, b'first '), (137, b'between'), (128, b'second')]")
  expect(told.at(-1)).toBe('136')
  expect(asked.at(-1)?.headers['sec-websocket-extensions']).toBeUndefined()
  expect(hosted.of('network-request').at(-1)).toMatchObject({ method: 'GET', path: '/ws', verdict: 'allow' })
})

test('what is no frame ends it, and is not handed on', async () => {
  const { hosted, web } = spec()
  const before = frames.length
  const program = python`
for label, bytes_ in [('not masked', b'\x81\x05hello'), ('compressed', b'\xc1\x80\0\0\0\0'), ('no kind', b'\x83\x80\0\0\0\0'), ('long ping', frame(9, b'a' * 200)), ('out of order', frame(0, b'x')), ('http', b'GET /shut HTTP/1.1\r\nHost: good.example\r\n\r\n')]:
    one, stream, _ = upgrade('/ws')
    one.sendall(bytes_)
    attempt(label, lambda: heard(stream))
`
  const told = (await hosted.python(TLS + SOCKET + program, { port: web.port })).trim().split('\n')
  expect(told).toHaveLength(6)
  for (const line of told) expect(line).toMatch(/ (None|ECONNRESET|.*EOF.*)$/)
  expect(frames).toHaveLength(before)
})

test('it is judged like any request, and a no of the server is the server’s', async () => {
  const { hosted, web } = spec()
  const before = asked.length
  const program = python`
print(upgrade('/shut')[2].split('\n')[0])
print(upgrade('/ws', host='other.example')[2].split('\n')[0])
print(upgrade('/no')[2].split('\n')[0])
`
  expect(await hosted.python(TLS + SOCKET + program, { port: web.port })).toBe(
    'http/1.1 403 forbidden\nhttp/1.1 421 misdirected request\nhttp/1.1 401 unauthorized\n',
  )
  expect(asked.slice(before).map(({ url }) => url)).toEqual(['/no'])
})

test('other rules end one that they do not allow, though they still look into requests to its server', async () => {
  const { hosted, web } = spec()
  const told = hosted.python(
    TLS +
      SOCKET +
      python`
one, stream, _ = upgrade('/ws')
one.sendall(frame(1, b'before'))
print(heard(stream)[1], flush=True)
one.settimeout(30)
attempt('after', lambda: heard(stream))
`,
    { port: web.port },
  )
  await expect.poll(() => frames.at(-1)?.toString('latin1'), { timeout: 20_000 }).toContain('before')
  hosted.airlock.replace(hosted.id, inspecting({ allow: [{ rule: `good.example:${web.port}`, methods: ['GET'], paths: ['/no'] }] }))
  expect((await told).trim().split('\n')).toEqual(["b'before'", expect.stringMatching(/^after (None|ECONNRESET|.*EOF.*)$/)])
})
