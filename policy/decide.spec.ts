import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { contains, readAddress, readRange } from './addresses.ts'
import { decideConnect, decideName, type Facts } from './decide.ts'
import { readPolicy } from './network.ts'
import { readOperatorRanges, reservationsOf } from './reserved.ts'

const policy = (input: unknown) => readPolicy(input, 'network')
const allow = (...rules: string[]) => policy({ mode: 'allow', allow: rules })
const found = (...resolved: string[]): Facts => ({ resolved, operatorAllowed: [], hostAddresses: [] })
const NOTHING: Facts = { resolved: null, operatorAllowed: [], hostAddresses: [] }
const named = (name: string, port = 443) => ({ name, address: '198.18.0.7', port })
const raw = (address: string, port = 443) => ({ name: null, address, port })

const NONE = policy({ mode: 'none' })
const OPEN = policy({ mode: 'open' })
const EMPTY = policy({ mode: 'allow' })

describe('names', () => {
  test.each([
    [OPEN, 'example.com', 'mode open'],
    [allow('example.com'), 'EXAMPLE.com.', 'allow example.com'],
    [allow('example.com:443'), 'example.com', 'allow example.com:443'],
    [allow('a.example', '*.example.com'), 'www.example.com', 'allow *.example.com'],
    [policy({ mode: 'open', deny: ['example.com:25', 'www.example.com', '1.2.3.4'] }), 'example.com', 'mode open'],
    [policy({ mode: 'open', first: 'allow', allow: ['a.example.com'], deny: ['*.example.com'] }), 'a.example.com', 'allow a.example.com'],
  ])('%# are asked for', (rules, name, rule) => {
    expect(decideName(rules, name)).toEqual({
      name: name.toLowerCase().replace(/\.$/, ''),
      allowed: true,
      rule,
      reason: expect.stringContaining('example.com'),
      wouldAllow: null,
    })
  })

  test.each([
    [NONE, 'example.com', 'mode none', 'example.com'],
    [EMPTY, 'example.com', 'mode allow', 'example.com'],
    [allow('*.example.com'), 'evil-example.com', 'mode allow', 'evil-example.com'],
    [allow('*.example.com'), 'Example.com.', 'mode allow', 'example.com'],
    [allow('example.com'), 'www.example.com', 'mode allow', 'www.example.com'],
    // A question to a name server carries data, so addresses that are allowed let no names be asked for.
    [allow('0.0.0.0/0'), 'data.evil.test', 'mode allow', 'data.evil.test'],
    [policy({ mode: 'open', deny: ['*.example.com'] }), 'a.example.com', 'deny *.example.com', null],
    [policy({ mode: 'open', first: 'allow', deny: ['*.example.com'] }), 'a.example.com', 'deny *.example.com', 'a.example.com'],
    [OPEN, 'evil.test\0.example.com', 'malformed', null],
    [OPEN, 'evil.test%00.example.com', 'malformed', null],
    [OPEN, '0x7f.1', 'malformed', null],
    [OPEN, '', 'malformed', null],
  ])('%# are not asked for', (rules, name, rule, wouldAllow) => {
    expect(decideName(rules, name)).toMatchObject({ allowed: false, rule, reason: expect.stringMatching(/./), wouldAllow })
  })
})

describe('connections', () => {
  test.each([
    [OPEN, named('example.com'), found('1.1.1.1', '2606:4700::1111'), ['1.1.1.1', '2606:4700::1111'], 'mode open'],
    [allow('example.com:443'), named('Example.com.'), found('1.1.1.1'), ['1.1.1.1'], 'allow example.com:443'],
    [allow('1.1.1.0/24'), raw('1.1.1.1'), NOTHING, ['1.1.1.1'], 'allow 1.1.1.0/24'],
    [allow('[2606:4700::/32]:53'), raw('2606:4700:0:0:0:0:0:1111', 53), NOTHING, ['2606:4700::1111'], 'allow [2606:4700::/32]:53'],
    // The dial list is what was checked: the private one is gone, repetitions and what is no address too.
    [OPEN, named('rebind.test'), found('127.0.0.1', '1.1.1.1', '1.1.1.1', 'x', '::ffff:1.1.1.1', '10.0.0.1'), ['1.1.1.1'], 'mode open'],
    [policy({ mode: 'open', deny: ['1.1.1.0/24'] }), named('mixed.test'), found('1.1.1.1', '8.8.8.8'), ['8.8.8.8'], 'mode open'],
    [policy({ mode: 'open', deny: ['1.1.1.1:25'] }), raw('1.1.1.1'), NOTHING, ['1.1.1.1'], 'mode open'],
    [
      policy({ mode: 'open', first: 'allow', allow: ['1.1.1.1'], deny: ['1.1.1.0/24'] }),
      raw('1.1.1.1'),
      NOTHING,
      ['1.1.1.1'],
      'allow 1.1.1.1',
    ],
  ])('%# pass', (rules, asked, facts, dial, rule) => {
    expect(decideConnect(rules, asked, facts)).toEqual({
      verdict: 'tunnel',
      dial,
      rule,
      reason: expect.stringMatching(/./),
      wouldAllow: null,
    })
  })

  test.each([
    [NONE, named('example.com'), found('1.1.1.1'), 'mode none', 'example.com:443'],
    [EMPTY, raw('1.1.1.1'), NOTHING, 'mode allow', '1.1.1.1:443'],
    [EMPTY, raw('2606:4700::1111'), NOTHING, 'mode allow', '[2606:4700::1111]:443'],
    [allow('example.com:443'), named('example.com', 80), found('1.1.1.1'), 'mode allow', 'example.com:80'],
    // The literal of a host that is allowed by its name.
    [allow('example.com'), raw('1.1.1.1'), found('1.1.1.1'), 'mode allow', '1.1.1.1:443'],
    [allow('example.com'), named('example.com'), found('10.0.0.1', '127.0.0.1'), 'reserved private', null],
    [allow('example.com'), named('example.com'), found('::ffff:169.254.169.254'), 'reserved a v4 address written as v6', null],
    [allow('example.com'), named('example.com'), found(), 'unresolved', null],
    [allow('example.com'), named('example.com'), NOTHING, 'unresolved', null],
    [allow('example.com'), named('example.com'), found('0x7f.1', 'localhost', '1.1.1.1%eth0'), 'unresolved', null],
    [
      policy({ mode: 'allow', allow: ['example.com'], deny: ['1.1.1.0/24'] }),
      named('example.com'),
      found('1.1.1.1'),
      'deny 1.1.1.0/24',
      null,
    ],
    [policy({ mode: 'open', deny: ['1.1.1.0/24'] }), raw('1.1.1.1'), NOTHING, 'deny 1.1.1.0/24', null],
    [policy({ mode: 'open', first: 'allow', deny: ['1.1.1.0/24'] }), raw('1.1.1.1'), NOTHING, 'deny 1.1.1.0/24', '1.1.1.1:443'],
    // Without a name there is only the address; the gate's own is nobody's.
    [OPEN, raw('198.18.0.7'), found('1.1.1.1'), 'reserved for benchmarks', null],
    [OPEN, { name: null, address: null, port: 443 }, found('1.1.1.1'), 'malformed', null],
    [OPEN, raw('2130706433'), NOTHING, 'malformed', null],
    [OPEN, raw('1.1.1.1', 0), NOTHING, 'malformed', null],
    [OPEN, raw('1.1.1.1', 1.5), NOTHING, 'malformed', null],
    [OPEN, named('127.0.0.1'), found('1.1.1.1'), 'malformed', null],
    [OPEN, named('a\r\nb.test'), found('1.1.1.1'), 'malformed', null],
  ])('%# are denied, and nothing is dialled', (rules, asked, facts, rule, wouldAllow) => {
    expect(decideConnect(rules, asked, facts)).toEqual({ verdict: 'deny', dial: [], rule, reason: expect.stringMatching(/./), wouldAllow })
  })
})

test('of a name with very many addresses, a few are looked at and fewer dialled', () => {
  const many = Array.from({ length: 5000 }, (_, index) => `1.1.${index >> 8}.${index & 255}`)
  expect(decideConnect(OPEN, named('many.test'), found(...many)).dial).toEqual(many.slice(0, 16))
  expect(decideConnect(OPEN, named('many.test'), found(...Array(64).fill('10.0.0.1'), '1.1.1.1')).verdict).toBe('deny')
})

test('a denied v4 address is denied in its v6 clothes too, where the operator opens those', () => {
  const rules = policy({ mode: 'allow', allow: ['64:ff9b::/96'], deny: ['8.8.8.0/24'] })
  const facts = { ...NOTHING, operatorAllowed: readOperatorRanges(['64:ff9b::/96'], 'operator') }
  expect(decideConnect(rules, raw('64:ff9b::1.1.1.1'), facts)).toMatchObject({ verdict: 'tunnel', dial: ['64:ff9b::101:101'] })
  expect(decideConnect(rules, raw('64:ff9b::8.8.8.8'), facts)).toMatchObject({ verdict: 'deny', rule: 'deny 8.8.8.0/24' })
})

const address = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom('10.0.0.1', '127.0.0.1', '::1', '::ffff:1.2.3.4', '64:ff9b::1.2.3.4'))
const range = fc
  .tuple(address, fc.integer({ min: 0, max: 32 }))
  .map(([text, prefix]) => readRange(`${text}/${prefix}`))
  .filter((read) => read !== null)

test('what is denied or reserved is never dialled', () => {
  fc.assert(
    fc.property(
      fc.array(range, { maxLength: 4 }),
      fc.array(address),
      fc.array(fc.ipV4(), { maxLength: 2 }),
      (denied, resolved, hostAddresses) => {
        const deny = [
          ...new Set(denied.map(({ first, prefix }) => `${first.family === 6 ? hex(first.value) : dotted(first.value)}/${prefix}`)),
        ]
        const rules = policy({ mode: 'open', deny })
        const { dial, verdict } = decideConnect(rules, named('example.com'), { resolved, operatorAllowed: [], hostAddresses })
        expect(dial.length > 0).toBe(verdict === 'tunnel')
        for (const text of dial) {
          const dialled = readAddress(text)
          if (dialled === null) throw new Error(`${text} is dialled`)
          expect(denied.some((one) => contains(one, dialled))).toBe(false)
          expect(reservationsOf(dialled, hostAddresses)).toEqual([])
        }
      },
    ),
    { numRuns: 1000 },
  )
})

test('a name that may not be asked for is not connected to, and nothing passes an empty list', () => {
  const rules = fc.uniqueArray(fc.constantFrom('a.test', '*.a.test', 'b.test:443', '0.0.0.0/0', '::/0'))
  const name = fc.constantFrom('a.test', 'x.a.test', 'b.test', 'xa.test', 'c.test')
  fc.assert(
    fc.property(rules, name, address, fc.integer({ min: 1, max: 65_535 }), (list, asked, resolved, port) => {
      const { verdict } = decideConnect(allow(...list), named(asked, port), found(resolved))
      if (!decideName(allow(...list), asked).allowed) expect(verdict).toBe('deny')
      expect(decideConnect(EMPTY, named(asked, port), found(resolved)).verdict).toBe('deny')
      expect(decideConnect(EMPTY, raw(resolved, port), NOTHING).verdict).toBe('deny')
    }),
  )
})

test('the rule that would allow it does, at that port and at no other', () => {
  const asked = fc.tuple(
    fc.oneof(
      fc.domain().map((name) => named(name)),
      address.map((text) => raw(text)),
    ),
    fc.integer({ min: 1, max: 65_534 }),
  )
  fc.assert(
    fc.property(asked, ([where, port]) => {
      const facts = { ...found('1.1.1.1'), operatorAllowed: readOperatorRanges(['10.0.0.0/8'], 'operator') }
      const { wouldAllow } = decideConnect(EMPTY, { ...where, port }, facts)
      if (wouldAllow === null) return
      expect(decideConnect(allow(wouldAllow), { ...where, port }, facts).verdict).toBe('tunnel')
      expect(decideConnect(allow(wouldAllow), { ...where, port: port + 1 }, facts).verdict).toBe('deny')
    }),
  )
})

const dotted = (value: bigint) => [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.')
const hex = (value: bigint) => (value.toString(16).padStart(32, '0').match(/.{4}/g) ?? []).join(':')
