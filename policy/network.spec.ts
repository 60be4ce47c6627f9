import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readEndpoint } from './endpoint.ts'
import { readPolicy } from './network.ts'
import { covers, readRule } from './rule.ts'
import * as shelf from './rules/shelf.ts'

const allow = (...rules: unknown[]) => readPolicy({ mode: 'allow', allow: rules }, 'network')
const rule = (text: string) => readRule({ rule: text, match: [], not: [] }, 'rule')
const endpoint = (text: string) => {
  const read = readEndpoint(text)
  if (read === null) throw new Error(`${text} is no endpoint`)
  return read
}

describe('each kind', () => {
  test.each(Object.entries(shelf))('%s is called so, and claims its own example alone', (name, kind) => {
    expect(kind.name).toBe(name)
    expect(Object.values(shelf).filter((other) => other.claims(kind.examples.rule))).toEqual([kind])
    expect([kind.examples.match.length, kind.examples.not.length].every((count) => count > 1)).toBe(true)
  })

  test('no text is claimed by two, and none by nobody', () => {
    const text = fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6(), fc.string({ unit: fc.constantFrom(...'a0x.*/:') }), fc.string())
    fc.assert(
      fc.property(text, (host) => {
        expect(Object.values(shelf).filter((kind) => kind.claims(host))).toHaveLength(1)
      }),
    )
  })
})

test.each([
  ['Example.COM.', 'name', 'example.com'],
  ['example.com:443', 'name', 'example.com:443'],
  ['*.Example.com', 'wildcard', '*.example.com'],
  ['*.example.com:8080', 'wildcard', '*.example.com:8080'],
  ['1.2.3.4', 'cidr', '1.2.3.4'],
  ['1.2.3.0/24:53', 'cidr', '1.2.3.0/24:53'],
  ['2606:4700:0::/32', 'cidr', '2606:4700::/32'],
  ['[2606:4700::1111]:443', 'cidr', '[2606:4700::1111]:443'],
  ['[2606:4700::]', 'cidr', '2606:4700::'],
  ['[::/0]:25', 'cidr', '[::/0]:25'],
])('%j is a %s', (text, kind, told) => {
  expect(rule(text)).toMatchObject({ kind, text: told })
  expect(rule(told)).toMatchObject({ kind, text: told })
})

test.each([
  ['*', 'asterisk'],
  ['*.', 'empty'],
  ['*example.com', 'asterisk'],
  ['a.*.example.com', 'asterisk'],
  ['*.*.example.com', 'asterisk'],
  ['*.1.2.3.4', 'address'],
  ['*.bücher.example', 'ASCII'],
  ['bücher.example', 'ASCII'],
  ['exa mple.com', 'label'],
  ['example.com\0', 'NUL'],
  ['example.com:0', 'port'],
  ['example.com:65536', 'port'],
  ['example.com:https', 'neither'],
  ['ftp://example.com', 'neither'],
  ['example.com/path', 'neither'],
  ['[example.com]:443', 'port'],
  ['[::1', 'port'],
  ['10.0.0.1/8', '10.0.0.0/8'],
  ['10.0.0.0/33', 'neither'],
  ['2130706433', 'neither'],
  ['0x7f.1', 'neither'],
  ['0177.0.0.1', 'neither'],
  ['fe80::1%eth0', 'neither'],
])('the rule %j is refused with its place: %s', (text, reason) => {
  expect(() => allow('fine.example', text)).toThrow(
    expect.objectContaining({ code: 'POLICY_INVALID', message: expect.stringMatching(/^network\.allow\.1: /) }),
  )
  expect(() => allow('fine.example', text)).toThrow(reason)
})

test.each([
  [{ mode: 'none', allow: [] }, 'network: ', 'allow'],
  [{ mode: 'open', allows: [] }, 'network: ', 'allows'],
  [{ mode: 'closed' }, 'network.mode: ', 'open'],
  [{}, 'network.mode: ', 'open'],
  [null, 'network: ', 'object'],
  [{ mode: 'allow', allow: [{ rule: 'a.example', matches: [] }] }, 'network.allow.0: ', 'matches'],
  [{ mode: 'allow', allow: [7] }, 'network.allow.0: ', 'number'],
  [{ mode: 'allow', allow: [''] }, 'network.allow.0.rule: ', 'small'],
  [{ mode: 'allow', allow: Array(1001).fill('a.example') }, 'network.allow: ', '1000'],
  [{ mode: 'allow', allow: ['a.example', 'b.example', 'A.example.'] }, 'network.allow.2: ', 'network.allow.0'],
  [{ mode: 'allow', allow: ['a.b.example'], deny: ['c.example', '*.b.example'] }, 'network.allow.0: ', 'network.deny.1'],
  [{ mode: 'allow', allow: ['*.a.b.example'], deny: ['*.b.example'] }, 'network.allow.0: ', 'network.deny.0'],
  [{ mode: 'allow', allow: ['1.2.3.0/24:80'], deny: ['1.2.0.0/16'] }, 'network.allow.0: ', 'network.deny.0'],
  [{ mode: 'open', first: 'allow', allow: ['1.2.0.0/16'], deny: ['1.2.3.4'] }, 'network.deny.0: ', 'network.allow.0'],
])('%j is refused', (input, place, reason) => {
  expect(() => readPolicy(input, 'network')).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }))
  expect(() => readPolicy(input, 'network')).toThrow(place)
  expect(() => readPolicy(input, 'network')).toThrow(reason)
})

test.each([
  [['*.b.example'], ['a.b.example']],
  [['a.example'], ['a.example:25']],
  [['b.example'], ['*.b.example']],
  [['1.2.0.0/16'], ['1.2.3.0/24']],
  [['1.2.3.4'], ['::/0']],
])('allowing %j and denying %j is no contradiction', (allowed, denied) => {
  expect(readPolicy({ mode: 'allow', allow: allowed, deny: denied }, 'network').allow).toHaveLength(1)
})

test('a rule is held to its own examples', () => {
  expect(allow({ rule: '*.b.example:443', match: ['a.b.example:443'], not: ['b.example:443', 'a.b.example:80'] }).allow).toHaveLength(1)
  const wrong = { rule: '*.b.example', match: ['a.b.example', 'b.example'] }
  expect(() => allow(wrong)).toThrow('network.allow.0.match.1: the rule "*.b.example" does not cover its example "b.example"')
  expect(() => allow({ rule: '10.0.0.0/8', not: ['10.1.1.1'] })).toThrow('network.allow.0.not.0: the rule "10.0.0.0/8" covers its example')
  expect(() => allow({ rule: 'a.example', not: ['0x7f.1'] })).toThrow('network.allow.0.not.0: "0x7f.1" is neither')
})

test('a wildcard covers what is below its name, and no sibling', () => {
  const label = fc.stringMatching(/^[a-z0-9]{1,10}$/)
  fc.assert(
    fc.property(fc.array(label, { maxLength: 3 }), label, (labels, extra) => {
      const parent = [...labels, 'test'].join('.')
      const below = rule(`*.${parent}`)
      expect(covers(below, endpoint(`${extra}.${parent}`))).toBe(true)
      expect(covers(below, endpoint(`${extra}.${extra}.${parent}`.toUpperCase()))).toBe(true)
      for (const other of [parent, `${extra}${parent}`, `${extra}-${parent}`, `${parent}.${extra}.invalid`]) {
        expect(covers(below, endpoint(other))).toBe(false)
      }
    }),
  )
})
