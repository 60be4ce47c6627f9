import { describe, expect, test } from 'vitest'
import { readEndpoint } from '../endpoint.ts'
import { readPolicy } from '../network.ts'
import { sample } from './detectors/samples.ts'
import * as shelf from './detectors/shelf.ts'
import { prove } from './proof.ts'

const dlp = (said: Record<string, unknown>) => {
  const policy = readPolicy({ mode: 'open', dlp: said }, 'network').dlp
  if (policy === null) throw new Error('no dlp')
  return policy
}
const to = (text: string) => {
  const endpoint = readEndpoint(text)
  if (endpoint === null) throw new Error(text)
  return endpoint
}
const here = to('api.example.com:443')

test.each(Object.values(shelf).flatMap(({ detectors }) => detectors.map((one) => [one.name, one] as const)))(
  '%s keeps what its examples say',
  (_, one) => {
    expect(prove(one)).toBeNull()
    expect(one.examples.match.length).toBeGreaterThan(0)
    expect(one.examples.not.length).toBeGreaterThan(0)
  },
)

test('names are of one detector each, and of no family', () => {
  const names = Object.entries(shelf).flatMap(([family, { detectors }]) => [family, ...detectors.map(({ name }) => name)])
  expect(new Set(names).size).toBe(names.length)
})

describe('the nearest setting holds', () => {
  test('that of the detector, of its family, of all', () => {
    const policy = dlp({
      detectors: { all: 'alert', money: 'redact', iban: 'off', 'github-token': { verdict: 'block', except: ['*.example.com'] } },
    })
    expect(policy.verdictOf('jwt', here)).toBe('alert')
    expect(policy.verdictOf('card-number', here)).toBe('redact')
    expect(policy.verdictOf('iban', here)).toBeNull()
    expect(policy.verdictOf('github-token', here)).toBeNull()
    expect(policy.verdictOf('github-token', to('example.org:443'))).toBe('block')
  })

  test('without any, all is blocked; with some, the others are not looked for', () => {
    expect(dlp({}).verdictOf('card-number', here)).toBe('block')
    expect(dlp({ detectors: { 'private-keys': 'block' } }).verdictOf('card-number', here)).toBeNull()
  })

  test('a canary is always blocked, and what cannot be looked into as it is said', () => {
    const policy = dlp({ detectors: { all: 'off' }, unscannable: 'alert', canaries: [{ name: 'bait', env: 'AWS_KEY' }] })
    expect(policy.verdictOf('canary:bait', here)).toBe('block')
    expect(policy.verdictOf('unscannable', here)).toBe('alert')
  })
})

test('a budget is that of its rule, or else the default', () => {
  const policy = dlp({ budgets: { default: 1000, 'api.example.com:443': 5, '*.example.org': 0 } })
  expect(policy.budgetOf(here)).toEqual({ rule: 'api.example.com:443', bytes: 5 })
  expect(policy.budgetOf(to('a.example.org:80'))).toEqual({ rule: '*.example.org', bytes: 0 })
  expect(policy.budgetOf(to('other.test:80'))).toEqual({ rule: 'default', bytes: 1000 })
  expect(dlp({}).budgetOf(here)).toBeNull()
})

test('one policy for all that say the same', () => {
  expect(dlp({ detectors: { all: 'alert' } })).toBe(dlp({ detectors: { all: 'alert' } }))
})

const own = (entry: Record<string, unknown>) => ({
  patterns: [{ name: 'own', pattern: 'CASE-[0-9]{6}', match: ['CASE-123456'], ...entry }],
})

test('a pattern of the operator is one more detector', () => {
  expect(dlp(own({ verdict: 'redact', not: ['CASE-12'] })).verdictOf('own', here)).toBe('redact')
})

test.each([
  [{ detectors: { 'github-tokens': 'block' } }, 'network.dlp.detectors.github-tokens: ', 'github-token'],
  [{ detectors: { all: 'deny' } }, 'network.dlp.detectors.all: ', 'network'],
  [{ detectors: { jwt: { verdict: 'block', except: ['exa mple'] } } }, 'network.dlp.detectors.jwt.except.0: ', 'label'],
  [{ detector: {} }, 'network.dlp: ', 'detector'],
  [own({ pattern: '(a+)+\\1' }), 'network.dlp.patterns.0.pattern: ', 'references back'],
  [own({ pattern: '(?=x)y' }), 'network.dlp.patterns.0.pattern: ', 'looking around'],
  [own({ pattern: '[0-9]{3}' }), 'network.dlp.patterns.0.pattern: ', '4'],
  [own({ pattern: '(x{400}){400}' }), 'network.dlp.patterns.0.pattern: ', '1024'],
  [own({ match: [] }), 'network.dlp.patterns.0.match: ', 'network'],
  [own({ match: ['CASE-123456', 'CASE-12345'] }), 'network.dlp.patterns.0.match.1: ', 'does not find'],
  [own({ not: ['a CASE-1234567'] }), 'network.dlp.patterns.0.not.0: ', 'finds'],
  [own({ name: 'jwt' }), 'network.dlp.patterns.0.name: ', 'another detector'],
  [own({ name: 'money' }), 'network.dlp.patterns.0.name: ', 'another detector'],
  [own({ name: 'Own' }), 'network.dlp.patterns.0.name: ', 'lower-case'],
  [own({ rule: 'x' }), 'network.dlp.patterns.0: ', 'rule'],
  [{ fingerprints: { salt: 'abc', values: [] } }, 'network.dlp.fingerprints.salt: ', '16 bytes'],
  [{ fingerprints: { salt: sample('hex', 32), values: [{ name: 'x', value: 'secret' }] } }, 'network.dlp.fingerprints.values.0', 'network'],
  [{ canaries: [{ name: 'a', env: 'A-B' }] }, 'network.dlp.canaries.0.env: ', 'environment variable'],
  [
    {
      canaries: [
        { name: 'a', env: 'A' },
        { name: 'b', env: 'A' },
      ],
    },
    'network.dlp.canaries.1: ',
    'network.dlp.canaries.0',
  ],
  [{ budgets: { 'not a rule': 5 } }, 'network.dlp.budgets.not a rule: ', 'network'],
  [{ budgets: { default: -1 } }, 'network.dlp.budgets.default: ', 'network'],
  [{ unscannable: 'redact' }, 'network.dlp.unscannable: ', 'network'],
  [{ tunnel: ['10.0.0.1/8'] }, 'network.dlp.tunnel.0: ', '10.0.0.0/8'],
])('%j is refused with its place', (said, place, why) => {
  expect(() => dlp(said)).toThrow(expect.objectContaining({ code: 'POLICY_INVALID', message: expect.stringContaining(place) }))
  expect(() => dlp(said)).toThrow(why)
})
