import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { python } from './gated.ts'
import { Hosted, rules } from './hosted.ts'
import { Canary, echo } from './servers.ts'

test('a program that speaks HTTP in the clear, or with a proxy, reads why it was refused', async () => {
  await using hosted = await Hosted.open(rules(['good.example:1']))
  const refused = {
    code: 'NETWORK_DENIED',
    rule: 'mode allow',
    hint: `caisson why ${hosted.id}`,
    wouldAllow: 'good.example:80',
  }
  const reply = await hosted.sh('curl -sS --max-time 20 -w "%{http_code}" http://good.example/ --data-binary hello')
  expect(reply.slice(-3)).toBe('403')
  expect(JSON.parse(reply.slice(0, -3))).toMatchObject({ ...refused, message: expect.stringContaining('good.example:80') })
  const proxied = await hosted.sh('curl -sS --max-time 20 -x http://127.0.0.1:3128 http://other.example/')
  expect(JSON.parse(proxied)).toMatchObject({ code: 'NETWORK_DENIED', rule: 'mode allow', wouldAllow: 'other.example:80' })
  const code = python`
one = opened('127.0.0.1', 3128)
one.sendall(b'CONNECT other.example:443 HTTP/1.1\r\n\r\n')
heard = b''
while part := one.recv(65536):
    heard += part
print(heard.split(b'\r\n\r\n')[1].decode())
`
  expect(JSON.parse(await hosted.python(code))).toMatchObject({ code: 'NETWORK_DENIED', wouldAllow: 'other.example:443' })
  expect(hosted.of('network').filter(({ way }) => way !== 'dns')).toMatchObject([
    { way: 'direct', verdict: 'refuse', port: 80 },
    { way: 'http-proxy', verdict: 'refuse', name: 'other.example' },
    { way: 'connect', verdict: 'refuse', name: 'other.example' },
  ])
})

test('what is allowed is reached with CONNECT and SOCKS5; a plain request to the proxy is asked anew, and of a server only that speaks HTTP', async () => {
  using server = await Canary.open(echo)
  await using hosted = await Hosted.open(rules([`good.example:${server.port}`]))
  const code = python`
def connect():
    one = opened('127.0.0.1', 3128)
    one.sendall(b'CONNECT good.example:%d HTTP/1.1\r\n\r\n' % facts['port'])
    one.recv(1000)
    return exchange(one)
def socks():
    one = opened('127.0.0.1', 1080)
    one.sendall(b'\x05\x01\x00')
    one.recv(2)
    one.sendall(b'\x05\x01\x00\x03\x0cgood.example' + struct.pack('!H', facts['port']))
    one.recv(10)
    return exchange(one)
attempt('connect', connect)
attempt('socks', socks)
`
  expect(await hosted.python(code, { port: server.port })).toBe("connect b'hello'\nsocks b'hello'\n")
  const plain = await hosted.sh(`curl -sS --max-time 20 -x http://127.0.0.1:3128 http://good.example:${server.port}/`)
  expect(JSON.parse(plain)).toMatchObject({ code: 'UPSTREAM_FAILED', message: expect.stringContaining('could not be asked') })
  expect(server.connections).toBe(3)
})

test('however often it has been refused, a sandbox is answered as before', async () => {
  using server = await Canary.open(echo)
  await using hosted = await Hosted.open(rules(['good.example']))
  hosted.airlock.register(hosted.id, rules(['good.example']), 64 * 1024 * 1024)
  const gate = connect(hosted.airlock.sockets.socket)
  gate.write(`${JSON.stringify({ ask: 'hello', sandbox: hosted.id, generation: 1 })}\n`)
  const ask = (connection: number, name: string) =>
    gate.write(`${JSON.stringify({ ask: 'connect', seq: connection, connection, name, address: null, port: 80, way: 'direct' })}\n`)
  const verdicts: string[] = []
  for (let connection = 1; connection <= 10_000; connection += 1) ask(connection, 'other.example')
  ask(10_001, 'good.example')
  for await (const line of createInterface({ input: gate })) {
    if (verdicts.push((JSON.parse(line) as { verdict: string }).verdict) === 10_001) break
  }
  gate.destroy()
  expect(new Set(verdicts.slice(0, -1))).toEqual(new Set(['refuse']))
  expect(verdicts.at(-1)).toBe('tunnel')
  expect(server.connections).toBe(0)
})
