import { expect, test } from 'vitest'
import { python } from './gated.ts'
import { everything, Hosted, rules } from './hosted.ts'
import { Canary, echo } from './servers.ts'

const talk = python`attempt(facts['host'], lambda: exchange(opened(facts['host'], facts['port'])))`

test('an allowed name reaches its server, and the log says so before and after', async () => {
  using server = await Canary.open(echo)
  await using hosted = await Hosted.open(rules([`good.example:${server.port}`]))
  expect(await hosted.python(talk, { host: 'good.example', port: server.port })).toBe("good.example b'hello'\n")
  const [name, connection] = [hosted.of('network').find(({ way }) => way === 'dns'), hosted.of('network').at(-1)]
  expect(name).toMatchObject({
    sandbox: hosted.id,
    connection: null,
    name: 'good.example',
    verdict: 'allow',
    rule: `allow good.example:${server.port}`,
  })
  expect(connection).toMatchObject({ name: 'good.example', address: null, port: server.port, way: 'direct', verdict: 'tunnel' })
  await expect
    .poll(() => hosted.of('network-end').map(({ connection, bytesOut, bytesIn, why }) => ({ connection, bytesOut, bytesIn, why })))
    .toEqual([{ connection: connection?.connection, bytesOut: 5, bytesIn: 5, why: 'done' }])
})

test('what no rule allows gets not one byte out, and the log names the rule that would allow it', async () => {
  using server = await Canary.open(echo)
  await using hosted = await Hosted.open(rules(['good.example:1']))
  expect(await hosted.python(talk, { host: 'other.example', port: server.port })).toMatch(/^other\.example .*not known\n$/)
  expect(await hosted.python(talk, { host: 'good.example', port: server.port })).toBe('good.example ECONNRESET\n')
  expect(await hosted.python(talk, { host: '8.8.8.8', port: server.port })).toBe('8.8.8.8 ECONNRESET\n')
  expect([server.connections, server.bytes]).toEqual([0, 0])
  // A name that may not be asked for is asked of nobody.
  expect(new Set(hosted.lookedUp)).toEqual(new Set(['good.example']))
  const denials = hosted.of('network').filter(({ verdict }) => verdict === 'deny' || verdict === 'refuse')
  expect(denials.find(({ name }) => name === 'other.example')).toMatchObject({ rule: 'mode allow', wouldAllow: 'other.example' })
  expect(denials.find(({ name }) => name === 'good.example')).toMatchObject({ wouldAllow: `good.example:${server.port}` })
  expect(denials.find(({ address }) => address === '8.8.8.8')).toMatchObject({ rule: 'mode allow', wouldAllow: `8.8.8.8:${server.port}` })
})

test('what is not public is out of reach though everything is open, by address and by name', async () => {
  using server = await Canary.open(echo)
  await using hosted = await Hosted.open(everything)
  const hosts = ['10.0.0.1', '169.254.169.254', '192.168.1.1', '100.64.0.1', 'fd00::1', '64:ff9b::7f00:1', '::ffff:10.0.0.1']
  for (const host of [...hosts, 'good.example', 'other.example']) {
    expect(await hosted.python(talk, { host, port: server.port })).toBe(`${host} ECONNRESET\n`)
  }
  expect([server.connections, server.bytes]).toEqual([0, 0])
  const connections = hosted.of('network').filter(({ way }) => way === 'direct')
  expect(connections).toHaveLength(hosts.length + 2)
  for (const { verdict, rule } of connections) expect([verdict, rule]).toEqual(['refuse', expect.stringMatching(/^reserved /)])
})

test('a number is no name, however it is written', async () => {
  using server = await Canary.open(echo)
  await using hosted = await Hosted.open(everything)
  const code = python`
def connect(host):
    one = opened('127.0.0.1', 3128)
    one.sendall(f'CONNECT {host}:{facts["port"]} HTTP/1.1\r\n\r\n'.encode())
    return one.recv(1000).split(b'\r\n')[0]
for host in ['2130706433', '0x7f000001', '127.1', '0177.0.0.1', '127.0.0.1', '[::1]', '[::ffff:127.0.0.1]']:
    attempt(host, lambda: connect(host))
`
  const told = (await hosted.python(code, { port: server.port })).trim().split('\n')
  for (const line of told) expect(line).toMatch(/403 Forbidden|400 Bad Request/)
  expect(told).toHaveLength(7)
  expect([server.connections, server.bytes, hosted.lookedUp]).toEqual([0, 0, []])
})
