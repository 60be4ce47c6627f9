import { describe, expect, test } from 'vitest'
import { decideConnect, decideName } from './decide.ts'
import { E2bNetwork, fileOfE2b } from './e2b.ts'
import { readPolicy } from './network.ts'

const ALL = '0.0.0.0/0'
const facts = { resolved: ['1.1.1.1'], operatorAllowed: [], hostAddresses: [] }
const goes = (network: unknown, where: { name?: string; address?: string }) =>
  decideConnect(
    readPolicy(fileOfE2b(E2bNetwork.parse(network), 'network.'), 'network'),
    { name: where.name ?? null, address: where.address ?? null, port: 443 },
    facts,
  ).verdict

describe('what gets out', () => {
  test.each([
    [{}, { address: '8.8.8.8' }],
    [{}, { name: 'example.com' }],
    [{ allow_internet_access: true }, { address: '2606:4700::1111' }],
    [{ denyOut: ['8.8.8.8'] }, { address: '8.8.4.4' }],
    [{ denyOut: ['8.8.8.8'] }, { name: 'example.com' }],
    // What is allowed wins.
    [{ allowOut: ['8.8.8.8'], denyOut: ['8.8.8.0/24'] }, { address: '8.8.8.8' }],
    [{ allowOut: ['8.8.8.8', '8.8.8.8'], denyOut: ['8.8.8.8'] }, { address: '8.8.8.8' }],
    [{ allowOut: ['8.8.8.0/24'], denyOut: [ALL] }, { address: '8.8.8.8' }],
    [{ allowOut: ['8.8.8.1/24'], denyOut: [ALL] }, { address: '8.8.8.8' }],
    [{ allowOut: ['example.com'], denyOut: [ALL] }, { name: 'example.com' }],
    [{ allowOut: ['*.example.com'], denyOut: [ALL, '1.1.1.1'] }, { name: 'a.example.com' }],
    [{ allowOut: ['8.8.8.8'], allow_internet_access: false }, { address: '8.8.8.8' }],
    [{ allowOut: [ALL], denyOut: [ALL] }, { name: 'example.com' }],
  ])('%j lets %j out', (network, where) => {
    expect(goes(network, where)).toBe('tunnel')
  })

  test.each([
    [{ allow_internet_access: false }, { address: '8.8.8.8' }],
    [{ allow_internet_access: false }, { name: 'example.com' }],
    [{ allow_internet_access: false, allowOut: ['8.8.8.8'] }, { address: '8.8.4.4' }],
    [{ denyOut: [ALL] }, { address: '8.8.8.8' }],
    [{ denyOut: [ALL] }, { address: '2606:4700::1111' }],
    [{ denyOut: ['1.1.1.1'] }, { name: 'example.com' }],
    [{ denyOut: ['8.8.8.0/24'] }, { address: '8.8.8.8' }],
    [{ allowOut: ['example.com'], denyOut: [ALL] }, { name: 'www.example.com' }],
    [{ allowOut: ['*.example.com'], denyOut: [ALL] }, { name: 'example.com' }],
    [{ allowOut: ['*.example.com'], denyOut: [ALL] }, { name: 'evil-example.com' }],
    [{ allowOut: ['example.com'], denyOut: [ALL] }, { address: '1.1.1.1' }],
    // Reserved addresses are not for a caller to open.
    [{}, { address: '10.0.0.1' }],
    [{ allowOut: ['169.254.169.254', '10.0.0.0/8'] }, { address: '169.254.169.254' }],
    [{ allowOut: ['169.254.169.254', '10.0.0.0/8'] }, { address: '10.0.0.1' }],
  ])('%j keeps %j in', (network, where) => {
    expect(goes(network, where)).toBe('deny')
  })

  test('a denial names what the caller wrote, and what would lift it', () => {
    const closed = readPolicy(fileOfE2b({ allowOut: ['example.com'], denyOut: [ALL] }, 'network.'), 'network')
    expect(decideConnect(closed, { name: null, address: '8.8.8.8', port: 443 }, facts)).toMatchObject({
      rule: `deny ${ALL}`,
      wouldAllow: '8.8.8.8:443',
    })
    expect(decideName(closed, 'evil.test')).toMatchObject({ allowed: false, wouldAllow: 'evil.test' })
  })
})

test.each([
  [{ allowOut: ['example.com'] }, 'network.allowOut: example.com', ALL],
  [{ allowOut: ['*.example.com'], denyOut: ['8.8.8.8'] }, 'network.allowOut: *.example.com', ALL],
  [{ allowOut: ['example.com'], allow_internet_access: false }, 'network.allowOut: example.com', ALL],
  [{ denyOut: [ALL, 'example.com'] }, 'network.denyOut.1: example.com', ''],
  [{ denyOut: ['8.8.8.8/33'] }, 'network.denyOut.0: 8.8.8.8/33', ''],
  [{ denyOut: ['0x7f.1'] }, 'network.denyOut.0: 0x7f.1', ''],
  [{ allowOut: ['8.8.8.8', 'bücher.example'], denyOut: [ALL] }, 'network.allowOut.1: ', ''],
  [{ allowOut: ['evil.test\0.example.com'], denyOut: [ALL] }, 'network.allowOut.0: ', ''],
  [{ allowOut: ['example.com:443'], denyOut: [ALL] }, 'network.allowOut.0: example.com:443', ''],
  [{ allowOut: ['https://example.com'], denyOut: [ALL] }, 'network.allowOut.0: https://example.com', ''],
  [{ allowOut: ['2130706433'], denyOut: [ALL] }, 'network.allowOut.0: ', ''],
  [{ allowOut: [''], denyOut: [ALL] }, 'network.allowOut.0: ', ''],
  [{ egressProxy: { address: 'proxy.example' } }, 'network.egressProxy.address: "proxy.example" is not HOST:PORT', ''],
  [{ egressProxy: { address: '2001:db8::1:1080' } }, 'network.egressProxy.address: ', ''],
  [{ egressProxy: { address: 'me:word@proxy.example:1080' } }, 'network.egressProxy.address: ', ''],
  [{ egressProxy: { address: 'socks5://proxy.example:1080' } }, 'network.egressProxy.address: ', ''],
  [{ egressProxy: { address: '127.1:1080' } }, 'network.egressProxy.address: ', ''],
  [{ egressProxy: { address: 'proxy.example:1080', password: 'x' } }, 'network.egressProxy.password: it needs a username', ''],
])('%j is refused', (network, message, hint) => {
  expect(() => fileOfE2b(network, 'network.')).toThrow(
    expect.objectContaining({ code: 'BAD_REQUEST', message: expect.stringContaining(message), hint: expect.stringContaining(hint) }),
  )
})

test('a proxy is in the rules without its password, and opens nothing', () => {
  const egressProxy = { address: '[2606:4700::1111]:1080', username: 'me', password: 'word' }
  const file = fileOfE2b(E2bNetwork.parse({ denyOut: [ALL], egressProxy }), 'network.')
  expect(file).toEqual({ mode: 'allow', first: 'allow', allow: [], deny: [ALL], proxy: { address: egressProxy.address, username: 'me' } })
  const policy = readPolicy(file, 'network')
  expect(policy.proxy).toMatchObject({ name: null, port: 1080, username: 'me', sealed: null })
  expect(decideConnect(policy, { name: null, address: '2606:4700::1111', port: 1080 }, facts).verdict).toBe('deny')
  expect(() => E2bNetwork.parse({ egressProxy: { address: 'a:1', username: 'é'.repeat(128) } })).toThrow('longer than 255 bytes')
})

test('headers of E2B’s rules are set on requests of https to that domain, and grant no way to it', () => {
  const rules = {
    'API.example.com': [{ transform: { headers: { 'X-Key': 'v' } } }],
    '*.example.org': [{ transform: { headers: { A: 'b' } } }],
    'c.example': [],
    'd.example': [{}],
    'e.example': [{ transform: {} }],
  }
  const file = fileOfE2b(E2bNetwork.parse({ denyOut: [ALL], rules }), 'network.')
  expect(file).toMatchObject({
    mode: 'allow',
    headers: [{ host: 'api.example.com', headers: { 'X-Key': 'v' } }, { host: '*.example.org' }],
  })
  const policy = readPolicy(file, 'network')
  expect(policy.headers.map(({ rule, scheme, header, value, secret }) => [rule.text, scheme, header, value, secret])).toEqual([
    ['api.example.com:443', 'https', 'x-key', 'v', null],
    ['*.example.org:443', 'https', 'a', 'b', null],
  ])
  expect(decideName(policy, 'api.example.com').allowed).toBe(false)
})

test.each([
  [{ '1.1.1.1': [{ transform: { headers: { A: 'b' } } }] }, 'BAD_REQUEST', 'network.rules.1.1.1.1'],
  [{ '*': [{ transform: { headers: { A: 'b' } } }] }, 'BAD_REQUEST', 'network.rules.*'],
  [{ 'a.b': [{ transform: { headers: { A: `\${e2b.identity.tokens.t}` } } }] }, 'UNSUPPORTED', 'tokens'],
  [{ 'a.b': [{ transform: { headers: { A: 'b' } } }], '*.b': [{ transform: { headers: { C: 'd' } } }] }, 'UNSUPPORTED', '*.b covers a.b'],
])('%j is refused', (rules, code, message) => {
  expect(() => fileOfE2b(E2bNetwork.parse({ rules }), 'network.')).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(message) }),
  )
})

test('fields that are not known are refused by name', () => {
  expect(() => E2bNetwork.parse({ allowOuts: [] })).toThrow('allowOuts')
})
