import { expect, test } from 'vitest'
import { python } from './gated.ts'
import { Hosted, rules } from './hosted.ts'
import { Canary, echo } from './servers.ts'
import { WAYS } from './ways.ts'

/** Each might be taken for a name below good.example by one who looks, and for evil.example by one who resolves, or the other way. */
const NAMES = [
  'evil.example\\0.good.example',
  'evil.example%00.good.example',
  'evil.example%2egood.example',
  'evil.example\\r\\nHost: a.good.example',
  'evil.example\\t.good.example',
  'evil.example .good.example',
  'evil.example/.good.example',
  'evil.example?.good.example',
  'evil.example#.good.example',
  'evil.example@.good.example',
  'a.good.example@evil.example',
  'a.good.example:80@evil.example',
  'evil-good.example',
  'evilgood.example',
  'a.good.example.evil.example',
  'a.good.example..',
  '.good.example',
  '*.good.example',
  'a..good.example',
  'a\\u3002good.example',
  'a.g\\u00f6od.example',
  '-a.good.example',
  'good.example.evil.example.',
]

test('a name that could be read in two ways, or only looks like an allowed one, is nobody’s', async () => {
  using server = await Canary.open(echo)
  await using hosted = await Hosted.open(rules(['*.good.example'], [`127.0.0.1:${server.port}`]))
  // Whatever would be asked for would be there.
  hosted.names = new Proxy({}, { get: () => ['127.0.0.1'] })
  const code = python`
for text in facts['names']:
    name = text.encode('latin-1', 'backslashreplace').decode('unicode_escape')
    encoded = name.encode('utf-8')
    attempt('connect', lambda: connect(encoded.decode('latin-1'), facts['port']))
    attempt('socks', lambda: socks(b'\x03', bytes([len(encoded)]) + encoded, facts['port']))
    def direct():
        one = opened('127.0.0.1', 3128)
        one.sendall(b'GET http://' + encoded + b'/ HTTP/1.1\r\n\r\n')
        return one.recv(100).split(b'\r\n')[0].decode()
    attempt('proxy', direct)
    attempt('dns', lambda: resolve(encoded))
attempt('control', lambda: connect('A.Good.Example', facts['port']))
attempt('control', lambda: connect('a.good.example.', facts['port']))
`
  const told = (await hosted.python(WAYS + code, { names: NAMES, port: server.port })).trim().split('\n')
  expect(told.slice(-2)).toEqual(["control b'hello'", "control b'hello'"])
  expect(told).toHaveLength(NAMES.length * 4 + 2)
  for (const line of told.slice(0, -2)) {
    expect(line).toMatch(
      /^(connect|proxy) (HTTP\/1\.1 40[03]|$)|^socks (reply [1-8]|IndexError)|^dns ([1235]|.*(timed out|IndexError|byte))/,
    )
  }
  expect(server.connections).toBe(2)
  expect(new Set(hosted.lookedUp)).toEqual(new Set(['a.good.example']))
})
