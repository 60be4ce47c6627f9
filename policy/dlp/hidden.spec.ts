import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { code } from './detectors/code.ts'
import { sample } from './detectors/samples.ts'
import { rulesOf } from './rules.ts'
import { Scanner } from './scanner.ts'

const rules = rulesOf(code.detectors)
const token = `gh${'p_'}${sample('word', 36)}`

function scanned(bytes: Uint8Array, size = 100_000): string[] {
  const found: string[] = []
  const scanner = new Scanner(rules, null, ({ detector, through }) => found.push(`${detector} ${through.join('>')}`))
  for (let at = 0; at < bytes.length; at += size) scanner.write(bytes.subarray(at, at + size))
  scanner.settle()
  return found
}

/** Which can be packed, but has nothing in it that would be told again by a distance. */
const digits = Array.from(
  { length: 9000 },
  (_, at) => ((Math.imul(at ^ (at >>> 3), 2_654_435_761) ^ Math.imul(at * at + 7, 40_503)) >>> 13) & 15,
)
const noise = digits.map((digit) => digit.toString(16)).join('')
const packed = gzipSync(`${noise}\n${token}\n`)

describe('compressed data is known by any head that unpackers take', () => {
  const named = (bytes: number, flags: number) =>
    Buffer.concat([
      packed.subarray(0, 3),
      Buffer.from([flags]),
      packed.subarray(4, 10),
      Buffer.alloc(bytes, 'n'),
      Buffer.from([0]),
      packed.subarray(10),
    ])
  const cases: Record<string, Buffer> = {
    ...Object.fromEntries(
      [9, 12].flatMap((windowBits) =>
        [1, 3, 6, 9].map((level) => [`zlib ${windowBits} ${level}`, deflateSync(`${noise}\n${token}`, { windowBits, level })]),
      ),
    ),
    'gzip with a long name': named(200_000, 8),
    'gzip with a comment, and flags that mean nothing': named(10, 0xf0),
    'zip that says at first it is stored': zip(0, deflateRawSync(`${noise}\n${token}`)),
    zip: zip(8, deflateRawSync(`${noise}\n${token}`)),
  }
  test.each(Object.entries(cases))('%s', (_, bytes) => {
    for (const size of [1000, 100_000]) {
      expect(scanned(bytes, size).join()).toContain('github-token')
      expect(scanned(Buffer.from(bytes.toString('base64')), size).join()).toContain('github-token')
    }
  })

  test('a zip packed in another way is told', () => {
    for (const method of [9, 14, 93]) expect(scanned(zip(method, Buffer.alloc(100, 1)))).toEqual(['unscannable '])
  })
})

function zip(method: number, data: Buffer): Buffer {
  const head = Buffer.alloc(30)
  head.write('PK\x03\x04', 'latin1')
  head.writeUInt16LE(method, 8)
  head.writeUInt16LE(1, 26)
  return Buffer.concat([head, Buffer.from('a'), data])
}

test('what is packed is unpacked to its end wherever an escape stands in its base64, the first of many or the only one, in any pieces', () => {
  const text = packed.toString('base64')
  const escapes = [
    (sign: string) => `\\u00${sign.charCodeAt(0).toString(16)}`,
    (sign: string) => `%${sign.charCodeAt(0).toString(16)}`,
    (sign: string) => `\\n${sign}`,
    (sign: string) => `\\r\\n  ${sign}`,
  ]
  fc.assert(
    fc.property(
      // The first line of an encoder is no shorter.
      fc.integer({ min: 12, max: text.length - 1 }),
      fc.constantFrom(...escapes),
      fc.constantFrom(7, 1000, 100_000),
      fc.boolean(),
      (at, escaped, size, isTwice) => {
        const said = `{"file":"${text.slice(0, at)}${escaped(text[at] as string)}${text.slice(at + 1)}"}`
        const bytes = Buffer.from(isTwice ? Buffer.from(said).toString('base64') : said)
        expect(scanned(bytes, size).join()).toContain('github-token')
      },
    ),
    { numRuns: 30 },
  )
})

test('what only looks like an escape ends a run, and stands for itself', () => {
  const begun = packed.toString('base64').slice(0, 2000)
  for (const between of ['\\', '%', '\\u00', '%4', '\\q', '\\u0020', '\\n\\n\\n']) {
    for (const size of [1, 100_000]) {
      expect(scanned(Buffer.from(`${begun}${between} ${token}`), size)).toEqual(['github-token '])
      expect(scanned(Buffer.from(`${begun}${between}${Buffer.from(` ${token} `).toString('base64')}`), size).join()).toContain(
        'github-token',
      )
    }
  }
})

test('base64 whose lines stand deeper is one run', () => {
  const lines = packed.toString('base64').match(/.{1,76}/g) ?? []
  for (const indent of ['  ', '\t\t', ' '.repeat(40)])
    for (const size of [7, 100_000])
      expect(scanned(Buffer.from(`data:\n${indent}${lines.join(`\n${indent}`)}\n`), size)).toEqual([
        expect.stringMatching(/^github-token base64>(escapes>)?gzip$/),
      ])
})
