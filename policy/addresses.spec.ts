import { isIPv4, isIPv6 } from 'node:net'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { addressText, contains, lastOf, rangeText, readAddress, readRange, within } from './addresses.ts'

const read = (text: string) => {
  const address = readAddress(text)
  if (address === null) throw new Error(`${text} is not an address`)
  return address
}

test.each([
  '',
  '.',
  '1.2.3',
  '1.2.3.4.5',
  '01.2.3.4',
  '0177.0.0.1',
  '0x7f.0.0.1',
  '256.0.0.1',
  '2130706433',
  '127.1',
  '1.2.3.4 ',
  ' 1.2.3.4',
  '1.2.3.4\n',
  '1.2.3.4\0',
  '１.2.3.4',
  '-1.2.3.4',
  ':',
  ':::',
  '1::2::3',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7::8:9',
  '1:2:3:4:5:6:7:8::',
  ':1:2:3:4:5:6:7',
  '12345::',
  'fe80::1%eth0',
  '::1.2.3',
  '1.2.3.4::',
  '::1.2.3.4:5',
  '::01.2.3.4',
  '[::1]',
])('%j is not an address', (text) => {
  expect(readAddress(text)).toBeNull()
  expect(isIPv4(text) || (isIPv6(text) && !text.includes('%'))).toBe(false)
})

test('any text is an address exactly if the system takes it for one', () => {
  const almost = fc.string({ unit: fc.constantFrom(...'0123456789abcdefF.::%x') })
  fc.assert(
    fc.property(fc.oneof(almost, fc.ipV4(), fc.ipV6(), fc.ipV4Extended()), (text) => {
      expect(readAddress(text) !== null).toBe(isIPv4(text) || (isIPv6(text) && !text.includes('%')))
    }),
    { numRuns: 3000 },
  )
})

test('each address has one spelling, that of a URL for v6, and it reads back', () => {
  fc.assert(
    fc.property(fc.ipV6(), (text) => {
      expect(`[${addressText(read(text))}]`).toBe(new URL(`http://[${text}]/`).hostname)
      expect(read(addressText(read(text)))).toEqual(read(text))
    }),
  )
  fc.assert(
    fc.property(fc.ipV4(), (text) => {
      expect(addressText(read(text))).toBe(text)
    }),
  )
})

test.each([
  '10.0.0.0/33',
  '::/129',
  '10.0.0.0/08',
  '10.0.0.0/',
  '10.0.0.0/-1',
  '10.0.0.0/8/8',
  '/8',
  'example.com/8',
  '10/8',
  '10.0.0.0/ 8',
])('%j is not a range', (text) => {
  expect(readRange(text)).toBeNull()
})

test.each([
  ['10.1.2.3/8', '10.0.0.0/8', true],
  ['10.0.0.0/8', '10.0.0.0/8', false],
  ['1.2.3.4', '1.2.3.4', false],
  ['1.2.3.4/32', '1.2.3.4', false],
  ['1.2.3.4/0', '0.0.0.0/0', true],
  ['2001:DB8:0::/32', '2001:db8::/32', false],
  ['::1/64', '::/64', true],
])('%j is %j', (text, range, stray) => {
  const found = readRange(text)
  expect(found && [rangeText(found), found.stray]).toEqual([range, stray])
})

test('a range holds its first and its last address, and neither neighbour', () => {
  fc.assert(
    fc.property(fc.ipV4(), fc.integer({ min: 1, max: 32 }), (text, prefix) => {
      const range = readRange(`${text}/${prefix}`)
      if (range === null) throw new Error('unread')
      const last = lastOf(range)
      expect([contains(range, range.first), contains(range, last), contains(range, read(text))]).toEqual([true, true, true])
      expect(contains(range, { family: 4, value: last.value + 1n })).toBe(false)
      expect(contains(range, { family: 4, value: range.first.value - 1n })).toBe(false)
      expect(contains(range, { family: 6, value: last.value })).toBe(false)
      expect(within({ first: last, prefix: 32 }, range)).toBe(true)
      expect(within({ ...range, prefix: prefix - 1 }, range)).toBe(false)
    }),
  )
})
