import { expect, test } from 'vitest'
import { python } from './gated.ts'
import { everything, Hosted } from './hosted.ts'
import { DENIED, WAYS } from './ways.ts'

/** Where clouds tell whoever asks who they are, and every way to write a v4 address as a v6 one. */
const V4 = [
  '169.254.169.254',
  '169.254.170.2',
  '100.100.100.200',
  '168.63.129.16',
  '192.0.0.192',
  '127.0.0.1',
  '10.0.0.1',
  '192.168.0.1',
  '172.16.0.1',
]
const V6 = ['fd00:ec2::254', 'fe80::a9fe:a9fe', '::1', 'fd00::1']

test('metadata services, private networks and this machine are out of reach though everything is open, however they are written', async () => {
  await using hosted = await Hosted.open(everything)
  const code = python`
for text in facts['v4']:
    v4 = socket.inet_pton(socket.AF_INET, text)
    forms = [b'\0' * 10 + b'\xff\xff' + v4, b'\0' * 8 + b'\xff\xff\0\0' + v4, bytes.fromhex('0064ff9b') + b'\0' * 8 + v4, b'\x20\x02' + v4 + b'\0' * 10, b'\0' * 12 + v4]
    attempt('connect', lambda: connect(text, 80))
    attempt('socks', lambda: socks(b'\x01', v4, 80))
    if not text.startswith('127.'):
        attempt('raw', lambda: exchange(opened(text, 443)))
    for form in forms:
        attempt('connect', lambda: connect('[' + socket.inet_ntop(socket.AF_INET6, form) + ']', 80))
        attempt('socks', lambda: socks(b'\x04', form, 80))
for text in facts['v6']:
    attempt('connect', lambda: connect(f'[{text}]', 80))
    attempt('socks', lambda: socks(b'\x04', socket.inet_pton(socket.AF_INET6, text), 80))
`
  const told = (await hosted.python(WAYS + code, { v4: V4, v6: V6 })).trim().split('\n')
  expect(told).toHaveLength(V4.length * 13 - 1 + V6.length * 2)
  for (const line of told) {
    const [way = '', ...said] = line.split(' ')
    expect(said.join(' ')).toMatch(DENIED[way] ?? /never/)
  }
  const verdicts = hosted.of('network').filter(({ way }) => way !== 'dns')
  expect(verdicts).toHaveLength(told.length)
  for (const { verdict, rule } of verdicts)
    expect([verdict === 'deny' || verdict === 'refuse', rule]).toEqual([true, expect.stringMatching(/^reserved /)])
})
