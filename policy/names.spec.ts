import fc from 'fast-check'
import { expect, test } from 'vitest'
import { normaliseName } from './names.ts'

test.each([
  ['example.com', 'example.com'],
  ['EXAMPLE.Com', 'example.com'],
  ['example.com.', 'example.com'],
  ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ['_dmarc.example.com', '_dmarc.example.com'],
  ['localhost', 'localhost'],
  ['4chan.org', '4chan.org'],
  ['1.1.1.1.in-addr.arpa', '1.1.1.1.in-addr.arpa'],
  ['r3---sn-abc.example.com', 'r3---sn-abc.example.com'],
])('%j is %j', (text, name) => {
  expect(normaliseName(text)).toEqual({ name })
})

test.each([
  ['', 'empty'],
  ['.', 'empty'],
  ['..', 'label ""'],
  ['example.com..', 'label ""'],
  ['.example.com', 'label ""'],
  ['a..b', 'label ""'],
  ['attacker.example\0.allowed.com', 'NUL'],
  ['allowed.com\0', 'NUL'],
  ['attacker.example%00.allowed.com', 'percent'],
  ['allowed.com\r\nHost: evil.test', 'line break'],
  ['allowed.com\n', 'line break'],
  ['bücher.example', 'ASCII'],
  ['ⓔxample.com', 'ASCII'],
  // The Kelvin sign, which lower-cases to a plain k.
  ['\u212Aernel.org', 'ASCII'],
  ['example。com', 'ASCII'],
  ['example.com\t', 'ASCII'],
  ['example.com\x7f', 'ASCII'],
  ['user@example.com', 'label'],
  ['example.com#a', 'label'],
  ['example.com\\a', 'label'],
  ['example.com/a', 'label'],
  ['example.com:443', 'label'],
  ['example .com', 'label'],
  ['*.example.com', 'label'],
  ['[::1]', 'label'],
  ['::1', 'label'],
  ['-rf.example.com', 'label'],
  ['a-.example.com', 'label'],
  [`${'a'.repeat(64)}.com`, 'label'],
  [`${'a.'.repeat(127)}com`, 'longer'],
  ['127.0.0.1', 'address'],
  ['127.0.0.1.', 'address'],
  ['127.1', 'address'],
  ['0x7f.1', 'address'],
  ['0X7F000001', 'address'],
  ['0177.0.0.1', 'address'],
  ['2130706433', 'address'],
  ['a.0x', 'address'],
  ['example.1', 'address'],
])('%j is refused: %s', (text, reason) => {
  expect(normaliseName(text)).toEqual({ refused: expect.stringContaining(reason) })
})

test('what is let through is letters, digits, hyphens, underscores and dots, never what a URL takes for an address; and is normal', () => {
  const text = fc.oneof(
    fc.domain(),
    fc.string({ unit: fc.constantFrom(...'aZ09-_..xX') }),
    fc.string({ unit: 'binary' }),
    fc.tuple(fc.domain(), fc.constantFrom('\0', '%00', '\n', '.', '..', ' ')).map(([name, tail]) => name + tail),
  )
  fc.assert(
    fc.property(text, (asked) => {
      const read = normaliseName(asked)
      if ('refused' in read) return
      expect(read.name).toMatch(/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/)
      expect(normaliseName(read.name)).toEqual(read)
      expect(normaliseName(`${read.name.toUpperCase()}.`)).toEqual(read)
      if (!/xn--/.test(read.name)) expect(new URL(`http://${read.name}/`).hostname).toBe(read.name)
    }),
    { numRuns: 3000 },
  )
})
