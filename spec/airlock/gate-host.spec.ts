import { expect, test } from 'vitest'
import { run } from '../walls/cells.ts'
import type { Verdict } from './fake-airlock.ts'
import { Gated, python } from './gated.ts'
import { Canary, echo } from './servers.ts'

const signal = new AbortController().signal
const tunnel: Verdict = { verdict: 'tunnel', dial: ['127.0.0.1'] }

/** Says what becomes of one connection that stays, and of all that is tried, until it is told to end. */
const watcher = python`
one = opened('203.0.113.7', facts['port'])
one.sendall(b'x')
print('open', one.recv(1), flush=True)
started = time.monotonic()
attempt('ended', lambda: one.recv(1))
print('soon', time.monotonic() - started < 8)
attempt('name', lambda: resolve(b'a.example'))
attempt('direct', lambda: exchange(opened('203.0.113.7', facts['port'])))
def connect():
    proxy = opened('127.0.0.1', 3128)
    proxy.sendall(b'CONNECT server.example:443 HTTP/1.1\r\n\r\n')
    return proxy.recv(1000).split(b'\r\n')[0]
attempt('connect', connect)
`

test('without a host there is no way out: what was open ends, what is tried is answered no; a host that is back answers again', async () => {
  await using gated = await Gated.open()
  using server = await Canary.open(echo)
  const { airlock } = gated
  airlock.rules.connect = () => tunnel
  airlock.rules.name = () => true
  const told = gated.python(watcher, { port: server.port })
  await expect.poll(() => server.live, { timeout: 30_000 }).toBe(1)
  await expect.poll(() => server.bytes, { timeout: 30_000 }).toBe(1)
  const lost = Date.now()
  await airlock.stop()
  await expect.poll(() => server.live, { interval: 20 }).toBe(0)
  expect(Date.now() - lost).toBeLessThan(1000)
  const lines = (await told).trim().split('\n')
  expect(lines).toEqual(["open b'x'", 'ended ECONNRESET', 'soon True', 'name 2', 'direct ECONNRESET', "connect b'HTTP/1.1 403 Forbidden'"])
  expect(server.connections).toBe(1)
  airlock.asked.length = 0
  await airlock.start()
  // Without waiting for the gate to come back by itself.
  expect(await gated.python(python`print(exchange(opened('203.0.113.7', facts['port'])))`, { port: server.port })).toBe("b'hello'\n")
  expect(airlock.asked[0]).toMatchObject({ ask: 'hello', sandbox: gated.id })
  expect(airlock.of('closed')[0]).toMatchObject({ connection: 1, bytesOut: 1, bytesIn: 1, why: 'host' })
})

test('a gate comes back by itself', async () => {
  await using gated = await Gated.open()
  await expect.poll(() => gated.airlock.of('hello').length).toBe(1)
  await gated.airlock.stop()
  await gated.airlock.start()
  await expect.poll(() => gated.airlock.of('hello').length, { timeout: 8000 }).toBe(2)
})

test('a sandbox that stands before its host has no way out until the host is there', async () => {
  await using gated = await Gated.open()
  using server = await Canary.open(echo)
  gated.airlock.rules.connect = () => tunnel
  await gated.airlock.stop()
  const plan = await gated.cells.plan()
  await using cell = await gated.cells.launch(plan)
  const curl = `curl -sS --max-time 10 http://203.0.113.7:${server.port}/ --data-binary x 2>&1`
  const told = JSON.parse((await run(cell, curl)).stdout)
  expect(told).toEqual({ code: 'NETWORK_DENIED', message: 'nobody can be asked: the airlock is not there' })
  expect(server.connections).toBe(0)
})

test('a host that does not answer in time has said no; one that does not speak as agreed is none', async () => {
  await using gated = await Gated.open()
  using server = await Canary.open(echo)
  const { airlock } = gated
  airlock.rules.connect = () => null
  airlock.rules.name = () => null
  const code = python`
attempt('direct', lambda: exchange(opened('203.0.113.7', facts['port'])))
print(resolve(b'a.example'))
`
  expect(await gated.python(code, { port: server.port })).toBe('direct ECONNRESET\n2\n')
  expect(airlock.of('closed')).toMatchObject([{ bytesOut: 0, why: 'failed' }])
  // Late answers change nothing.
  airlock.say({ answer: 'connect', seq: 1, verdict: 'tunnel', dial: ['127.0.0.1'] })
  airlock.say({ answer: 'name', seq: 2, allowed: true })
  for (const line of [
    '{"answer":"end","connections":null,"more":1}\n',
    '{"answer":"connect","seq":9,"verdict":"allow","dial":[]}\n',
    'no JSON\n',
    'x'.repeat(400_000),
  ]) {
    const before = airlock.of('hello').length
    airlock.sayRaw(line)
    await expect.poll(() => airlock.of('hello').length, { timeout: 8000 }).toBe(before + 1)
  }
  expect(server.connections).toBe(0)
})

test('a connection that ends while the host thinks about it is told to have ended: its word would be heard by nobody', async () => {
  await using gated = await Gated.open()
  const { airlock } = gated
  airlock.rules.connect = () => null
  // Who has the answer about the name knows that the connection has been asked for.
  const code = python`
one = opened('203.0.113.7', 80)
print(resolve(b'a.example'))
one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
one.close()
`
  expect(await gated.python(code)).toBe('3\n')
  const { connection } = airlock.of('connect')[0] ?? { connection: -1 }
  await expect
    .poll(() => airlock.of('closed'), { timeout: 8000 })
    .toEqual([{ ask: 'closed', connection, bytesOut: 0, bytesIn: 0, why: 'failed' }])
})

test('the host takes its word back, for one connection or for all', async () => {
  await using gated = await Gated.open()
  using server = await Canary.open(echo)
  const { airlock } = gated
  airlock.rules.connect = () => tunnel
  const code = python`
ones = [opened('203.0.113.7', facts['port']) for _ in range(3)]
for one in ones:
    one.sendall(b'x')
    one.recv(1)
for one in ones:
    attempt('ended', lambda: one.recv(1))
`
  const told = gated.python(code, { port: server.port })
  await expect.poll(() => server.bytes, { timeout: 30_000 }).toBe(3)
  airlock.say({ answer: 'end', connections: [1] })
  await expect.poll(() => airlock.of('closed').map(({ connection, why }) => [connection, why])).toEqual([[1, 'host']])
  expect(server.live).toBe(2)
  airlock.say({ answer: 'end', connections: null })
  expect(await told).toBe('ended ECONNRESET\nended ECONNRESET\nended ECONNRESET\n')
})

test.runIf(process.getuid?.() === 0)('a sandbox that was held still finds its connections and its gate as they were', async () => {
  await using gated = await Gated.open({ idleMs: 1500 })
  using server = await Canary.open(echo)
  gated.airlock.rules.connect = () => tunnel
  const code = python`
one = opened('203.0.113.7', facts['port'])
one.sendall(b'x')
print(one.recv(1), flush=True)
while not os.path.exists('/tmp/go'):
    time.sleep(0.05)
one.sendall(b'again')
print(one.recv(10))
print(exchange(opened('203.0.113.7', facts['port'])))
`
  const told = gated.python(code, { port: server.port })
  await expect.poll(() => server.bytes, { timeout: 30_000 }).toBe(1)
  await gated.cell.ask({ op: 'freeze' }, signal)
  await new Promise((resolve) => setTimeout(resolve, 3000))
  await gated.cell.ask({ op: 'thaw', wallMs: null }, signal)
  await gated.sh('touch /tmp/go')
  expect(await told).toBe("b'x'\nb'again'\nb'hello'\n")
})
