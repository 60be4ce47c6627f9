import fc from 'fast-check'
import { expect, test } from 'vitest'
import { addressText, readAddress } from './addresses.ts'
import { decideConnect, type Facts } from './decide.ts'
import { readPolicy } from './network.ts'
import { formsOf, operatorRangeText, readOperatorRanges, readOperatorSetting, reservationsOf } from './reserved.ts'

const HOST = ['93.184.215.14', '2606:2800:220:1::14']
const open = readPolicy({ mode: 'open' }, 'network')
const all = readPolicy({ mode: 'allow', allow: ['0.0.0.0/0', '::/0'] }, 'network')
const facts = (...named: string[]): Facts => ({
  resolved: null,
  operatorAllowed: readOperatorRanges(named, 'operator'),
  hostAddresses: HOST,
})
const to = (address: string, port = 443) => ({ name: null, address, port })
const read = (text: string) => {
  const address = readAddress(text)
  if (address === null) throw new Error(`${text} is not an address`)
  return address
}

const RESERVED = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '10.255.255.255',
  '100.64.0.1',
  '100.100.100.200',
  '100.127.255.255',
  '127.0.0.1',
  '127.255.255.254',
  '168.63.129.16',
  '169.254.0.1',
  '169.254.169.254',
  '169.254.170.2',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.1',
  '192.0.0.192',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.0.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.7',
  '203.0.113.7',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::7f00:1',
  '::8.8.8.8',
  '::ffff:127.0.0.1',
  '::ffff:8.8.8.8',
  '::ffff:0:8.8.8.8',
  '64:ff9b::8.8.8.8',
  '64:ff9b::169.254.169.254',
  '64:ff9b:1::1',
  '100::1',
  '2001::1',
  '2001:db8::1',
  '2002:7f00:1::1',
  '2002:808:808::1',
  '3fff::1',
  '4000::1',
  'fc00::1',
  'fd00:ec2::254',
  'fd12:3456::1',
  'fe80::1',
  'fec0::1',
  'ff02::1',
  'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
  ...HOST,
  // The host's own, in v6 clothes.
  '::ffff:93.184.215.14',
]

test.each(RESERVED)('%s is out of reach, whatever a policy allows', (address) => {
  for (const policy of [open, all, readPolicy({ mode: 'allow', allow: [address] }, 'network')]) {
    const verdict = decideConnect(policy, to(address), facts('0.0.0.0/0', '::/0'))
    expect(verdict).toMatchObject({ verdict: 'deny', dial: [], wouldAllow: null, rule: expect.stringMatching(/^reserved /) })
    expect(verdict.reason).toContain('operator')
  }
})

test.each([
  '1.1.1.1',
  '8.8.8.8',
  '11.0.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '172.15.255.255',
  '172.32.0.0',
  '223.255.255.255',
  '2606:4700::1111',
  '2a00::1',
])('%s is public', (address) => {
  expect(decideConnect(open, to(address), facts())).toMatchObject({ verdict: 'tunnel', dial: [address], rule: 'mode open' })
  expect(reservationsOf(read(address), HOST)).toEqual([])
})

test.each([
  ['10.1.2.3', ['10.1.2.3']],
  ['10.1.2.3', ['10.0.0.0/8']],
  ['10.1.2.3', ['10.1.0.0/16:443']],
  ['127.0.0.1', ['127.0.0.1:443']],
  ['169.254.1.1', ['169.254.0.0/16']],
  ['169.254.169.254', ['169.254.169.254']],
  ['93.184.215.14', ['93.184.215.14']],
  ['fd12::1', ['fd00::/8']],
  ['fd00:ec2::254', ['fd00:ec2::254']],
  ['::1', ['[::1]:443']],
  ['64:ff9b::10.0.0.1', ['64:ff9b::/96', '10.0.0.0/8']],
])('%s opens to policies when the operator names %j', (address, named) => {
  const text = addressText(read(address))
  expect(decideConnect(all, to(address), facts(...named))).toMatchObject({ verdict: 'tunnel', dial: [text] })
  // What the operator names is not public for it: an open policy has to name it too.
  expect(decideConnect(open, to(address), facts(...named))).toMatchObject({ verdict: 'deny', rule: 'mode open' })
  expect(decideConnect(open, to(address), facts(...named)).wouldAllow).toContain(text)
})

test.each([
  ['10.1.2.3', ['10.0.0.0/7']],
  ['10.1.2.3', ['10.1.2.3:80']],
  ['10.1.2.3', ['192.168.0.0/16', 'fc00::/7']],
  ['169.254.169.254', ['169.254.0.0/16']],
  ['fd00:ec2::254', ['fd00::/8']],
  ['100.100.100.200', ['100.64.0.0/10']],
  ['93.184.215.14', ['93.184.215.0/24']],
  ['64:ff9b::10.0.0.1', ['64:ff9b::/96']],
  ['64:ff9b::10.0.0.1', ['10.0.0.0/8']],
  ['::ffff:10.0.0.1', ['10.0.0.0/8']],
])('%s stays closed when the operator names %j', (address, named) => {
  expect(decideConnect(all, to(address), facts(...named))).toMatchObject({ verdict: 'deny', dial: [] })
})

test.each(['example.com', '10.0.0.1/8', '10.0.0.0/33', '10.0.0.0/8:0', '2130706433', ''])('the operator cannot name %j', (text) => {
  expect(() => facts('10.0.0.0/8', text)).toThrow(
    expect.objectContaining({ code: 'POLICY_INVALID', message: expect.stringMatching(/^operator\.1: /) }),
  )
})

test('a setting of the operator is a list, and what it opens is no more than was meant', () => {
  const texts = (text: string) => readOperatorSetting(text, 'SETTING').map(operatorRangeText)
  expect(texts('10.1.2.0/24, 192.168.0.0/16:5432,127.0.0.1:8080,[::1]:80,169.254.169.254:80,8.8.8.8,169.254.0.0/16,fc00::/7')).toEqual([
    '10.1.2.0/24',
    '192.168.0.0/16:5432',
    '127.0.0.1:8080',
    '[::1]:80',
    '169.254.169.254:80',
    '8.8.8.8',
    '169.254.0.0/16',
    'fc00::/7',
  ])
  const bad = [
    '',
    ',',
    '10.0.0.0/8,',
    'a.example',
    '127.0.0.1',
    '127.0.0.0/8',
    '127.0.0.0/8:80',
    '127.0.0.0/31:80',
    '::1',
    '169.254.169.254',
  ]
  for (const text of [
    ...bad,
    'fd00:ec2::254',
    '0.0.0.0',
    '0.0.0.0/0',
    '0.0.0.0/0:80',
    '::/0',
    '10.0.0.0/7',
    '8.8.8.0/24',
    '10.0.0.1/8',
    '126.0.0.0/7',
  ]) {
    expect(() => readOperatorSetting(text, 'SETTING'), text).toThrow(
      expect.objectContaining({ code: 'POLICY_INVALID', message: expect.stringMatching(/^SETTING\.\d: /) }),
    )
  }
})

test('each v4 address in v6 clothes is closed, and judged as what it carries too', () => {
  fc.assert(
    fc.property(fc.ipV4(), fc.constantFrom('::ffff:', '64:ff9b::', '::ffff:0:'), (v4, prefix) => {
      expect(formsOf(read(prefix + v4)).map(addressText)).toContain(v4)
      expect(decideConnect(open, to(prefix + v4), facts())).toMatchObject({ verdict: 'deny' })
    }),
  )
})
