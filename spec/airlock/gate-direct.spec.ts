import { expect, test } from 'vitest'
import { python, shared } from './gated.ts'
import { Canary, echo } from './servers.ts'

const gate = shared()

const ways = python`
port = facts['port']
attempt('name', lambda: exchange(opened('server.example', port)))
attempt('name v4', lambda: exchange(opened('server.example', port, socket.AF_INET)))
attempt('name v6', lambda: exchange(opened('server.example', port, socket.AF_INET6)))
attempt('raw v4', lambda: exchange(opened('203.0.113.7', port)))
attempt('raw v6', lambda: exchange(opened('2001:db8::7', port)))
attempt('mapped', lambda: exchange(opened('::ffff:203.0.113.7', port)))
`

test('whatever way a connection leaves, the host is asked where it really goes, and what it says is done', async () => {
  using server = await Canary.open(echo)
  const { airlock } = gate()
  airlock.rules.name = () => true
  airlock.rules.connect = () => ({ verdict: 'tunnel', dial: ['127.0.0.1'] })
  airlock.asked.length = 0
  const told = await gate().python(ways, { port: server.port })
  expect(told.trim().split('\n')).toEqual(['name', 'name v4', 'name v6', 'raw v4', 'raw v6', 'mapped'].map((way) => `${way} b'hello'`))
  const asked = airlock.of('connect').map(({ name, address, port, way }) => [name, address, port, way])
  expect(asked).toEqual([
    ['server.example', null, server.port, 'direct'],
    ['server.example', null, server.port, 'direct'],
    ['server.example', null, server.port, 'direct'],
    [null, '203.0.113.7', server.port, 'direct'],
    [null, '2001:db8::7', server.port, 'direct'],
    [null, '203.0.113.7', server.port, 'direct'],
  ])
  await expect
    .poll(() => airlock.of('closed').map(({ bytesOut, bytesIn, why }) => [bytesOut, bytesIn, why]))
    .toEqual(Array.from({ length: 6 }, () => [5, 5, 'done']))
})

test('denied is a reset, and no server hears of it', async () => {
  using server = await Canary.open(echo)
  const { airlock } = gate()
  airlock.rules.name = () => true
  airlock.rules.connect = () => ({ verdict: 'deny', dial: ['127.0.0.1'] })
  const told = await gate().python(ways, { port: server.port })
  expect(told.trim().split('\n')).toEqual(['name', 'name v4', 'name v6', 'raw v4', 'raw v6', 'mapped'].map((way) => `${way} ECONNRESET`))
  airlock.rules.name = () => false
  expect(await gate().python(ways, { port: server.port })).toMatch(/^name .*not known/)
  expect([server.connections, server.bytes]).toEqual([0, 0])
})
