import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { Verdict } from './fake-airlock.ts'
import { Gated, gateOf, python } from './gated.ts'
import { Canary, echo } from './servers.ts'

const tunnel: Verdict = { verdict: 'tunnel', dial: ['127.0.0.1'] }

/** Kibibytes that are this process's alone. */
async function ownMemory(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8')
  return ['Private_Clean', 'Private_Dirty'].reduce((sum, key) => sum + Number(new RegExp(`${key}:\\s+(\\d+)`).exec(rollup)?.[1]), 0)
}

test('large streams both ways arrive whole, and one end’s end is told to the other while it still speaks', async () => {
  await using gated = await Gated.open()
  using server = await Canary.open(echo)
  gated.airlock.rules.connect = () => tunnel
  const code = python`
import hashlib
one = opened('203.0.113.7', facts['port'])
said, heard, length = hashlib.sha256(), hashlib.sha256(), 0
def speak():
    block = os.urandom(1 << 20)
    for _ in range(64):
        said.update(block)
        one.sendall(block)
    one.shutdown(socket.SHUT_WR)
threading.Thread(target=speak).start()
while part := one.recv(1 << 20):
    heard.update(part)
    length += len(part)
print(length, said.digest() == heard.digest())
`
  expect(await gated.python(code, { port: server.port })).toBe(`${64 << 20} True\n`)
  expect(server.bytes).toBe(64 << 20)
  await expect.poll(() => gated.airlock.of('closed').map(({ bytesOut, bytesIn }) => [bytesOut, bytesIn])).toEqual([[64 << 20, 64 << 20]])
})

test('ten thousand connections that nobody decides on are all refused, and the gate is as good as before', async () => {
  await using gated = await Gated.open({}, ({ limits }) => ({ limits: { ...limits, openFiles: 16_384 } }))
  using server = await Canary.open(echo)
  const { airlock } = gated
  const idle = await ownMemory((await gateOf(gated.cell)) ?? 0)
  expect(idle).toBeLessThanOrEqual(1024)
  airlock.rules.connect = () => null
  const code = python`
poller, open_ones = select.poll(), {}
for number in range(10000):
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(('203.0.%d.%d' % (number // 250, number % 250 + 1), 443))
    open_ones[one.fileno()] = one
    poller.register(one, select.POLLHUP)
ended = 0
while ended < 10000:
    for fd, _ in poller.poll():
        poller.unregister(fd)
        ended += 1
print(ended)
`
  expect(await gated.python(code)).toBe('10000\n')
  expect(airlock.of('connect').length).toBeGreaterThanOrEqual(256)
  await expect
    .poll(() => airlock.of('refused').find(({ what }) => what === 'too-many')?.detail, { timeout: 5000 })
    .toBe('more than 2048 connections at once')
  airlock.rules.connect = () => tunnel
  expect(await gated.python(python`print(exchange(opened('203.0.113.7', facts['port'])))`, { port: server.port })).toBe("b'hello'\n")
  expect(await ownMemory((await gateOf(gated.cell)) ?? 0)).toBeLessThanOrEqual(2048)
})

test('a thousand connections at once are all served', async () => {
  await using gated = await Gated.open({}, ({ limits }) => ({ limits: { ...limits, openFiles: 4096 } }))
  using server = await Canary.open(echo)
  gated.airlock.rules.connect = () => tunnel
  const code = python`
ones = []
for _ in range(1000):
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(('203.0.113.7', facts['port']))
    ones.append(one)
for number, one in enumerate(ones):
    one.setblocking(True)
    one.settimeout(30)
    one.sendall(b'%d' % number)
print(sum(one.recv(10) == b'%d' % number for number, one in enumerate(ones)))
`
  expect(await gated.python(code, { port: server.port })).toBe('1000\n')
  expect(server.connections).toBe(1000)
  // More than wait in a queue of the host's, all at once.
  gated.airlock.rules.connect = () => ({ verdict: 'inspect' })
  gated.airlock.rules.inspect = echo
  expect(await gated.python(code, { port: 443 })).toBe('1000\n')
})

test('what a thousand connections say to somebody who does not listen is not all that the machine has', async () => {
  const limits = { openFiles: 4096, memoryBytes: 64 << 20 }
  await using gated = await Gated.open({}, (made) => ({ limits: { ...made.limits, ...limits } }))
  using server = await Canary.open((peer) => peer.pause())
  gated.airlock.rules.connect = () => tunnel
  const code = python`
ones = []
for number in range(1000):
    ones.append(socket.create_connection(('203.0.%d.%d' % (number // 250, number % 250 + 1), facts['port'])))
    ones[-1].setblocking(False)
print(stuffed(ones))
`
  // Most of it is the server's; a thousand of which each takes megabytes on the way would be more.
  const taken = Number(await gated.python(code, { port: server.port }))
  expect(taken).toBeGreaterThan(0)
  expect(taken / 2 ** 20).toBeLessThan(1200)
})

test('no more connections, bytes and idleness than the plan has', async () => {
  await using gated = await Gated.open({ maxConnections: 4, bytesPerSecond: 1 << 20, idleMs: 600 })
  using server = await Canary.open(echo)
  gated.airlock.rules.connect = () => tunnel
  const code = python`
def talk():
    one = opened('203.0.113.7', facts['port'])
    one.sendall(b'x')
    one.recv(1)
    return one
ones = [talk() for _ in range(4)]
attempt('fifth', talk)
started = time.monotonic()
ones[0].sendall(bytes(1 << 20))
length = 0
while length < 1 << 20:
    length += len(ones[0].recv(65536))
# Two mebibytes in all, less what may pass at once.
print(time.monotonic() - started > 1.5)
for one in ones:
    attempt('idle', lambda: one.recv(1))
`
  expect(await gated.python(code, { port: server.port })).toBe(
    'fifth ECONNRESET\nTrue\nidle ECONNRESET\nidle ECONNRESET\nidle ECONNRESET\nidle ECONNRESET\n',
  )
  await expect.poll(() => gated.airlock.of('closed').map(({ why }) => why)).toEqual(['idle', 'idle', 'idle', 'idle'])
  // What the long one had carried was told while it lasted.
  const { moved, closed } = { moved: gated.airlock.of('moved'), closed: gated.airlock.of('closed') }
  const long = closed.find(({ bytesOut }) => bytesOut > 1)
  const told = moved.filter(({ connection, bytesOut }) => connection === long?.connection && bytesOut > 1)
  expect(told.length).toBeGreaterThan(0)
  expect(gated.airlock.asked.indexOf(told[0] as never)).toBeLessThan(gated.airlock.asked.indexOf(long as never))
  await expect.poll(() => gated.airlock.of('refused').map(({ what, count }) => [what, count]), { timeout: 5000 }).toEqual([['too-many', 1]])
})

test('a server that is not there, or does not speak, is told as such', async () => {
  await using gated = await Gated.open()
  using server = await Canary.open(echo)
  const closed = await Canary.open(echo)
  closed[Symbol.dispose]()
  // The first does not answer, the second does.
  gated.airlock.rules.connect = ({ port }) => ({
    verdict: 'tunnel',
    dial: port === server.port ? ['127.0.0.2', '127.0.0.1'] : ['127.0.0.1'],
  })
  const code = python`
attempt('second', lambda: exchange(opened('203.0.113.7', facts['port'])))
attempt('none', lambda: exchange(opened('203.0.113.7', facts['closed'])))
def connect():
    one = opened('127.0.0.1', 3128)
    one.sendall(b'CONNECT server.example:%d HTTP/1.1\r\n\r\n' % facts['closed'])
    return one.recv(1000).split(b'\r\n')[0]
attempt('connect', connect)
`
  const told = await gated.python(code, { port: server.port, closed: closed.port })
  expect(told).toBe("second b'hello'\nnone ECONNRESET\nconnect b'HTTP/1.1 502 Bad Gateway'\n")
  await expect
    .poll(() =>
      gated.airlock
        .of('closed')
        .map(({ why }) => why)
        .sort(),
    )
    .toEqual(['done', 'failed', 'failed'])
})

test('a sandbox that floods is slowed down before its host is', async () => {
  await using gated = await Gated.open()
  gated.airlock.rules.name = () => true
  const code = python`
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.connect(('198.18.0.1', 53))
one.setblocking(False)
end = time.monotonic() + 3
while time.monotonic() < end:
    try:
        one.send(question(b'a.example'))
        one.recv(512)
    except OSError:
        pass
one.close()
while resolve(b'b.example') != 0:
    time.sleep(0.1)
print('answered')
`
  expect(await gated.python(code)).toBe('answered\n')
  const asked = gated.airlock.of('name').length
  expect(asked).toBeGreaterThan(2000)
  // What may be asked at once, and a thousand in each second of a slow machine.
  expect(asked).toBeLessThan(2000 + 8 * 1000)
  await expect.poll(() => gated.airlock.of('refused').some(({ what }) => what === 'too-many'), { timeout: 5000 }).toBe(true)
})
