import { createHmac } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sample } from './detectors/samples.ts'
import * as shelf from './detectors/shelf.ts'
import { rulesOf } from './rules.ts'
import { type Finding, Scanner } from './scanner.ts'
import { type Canary, type Digest, type Fingerprint, fingerprintOf, Watch } from './watch.ts'

const detectors = Object.values(shelf).flatMap((family) => family.detectors)
const rules = rulesOf(detectors)
const SALT = '00112233445566778899aabbccddeeff'
const digest: Digest = (salt, value) => createHmac('sha256', Buffer.from(salt, 'hex')).update(value).digest('hex')
const token = `gh${'p_'}${sample('word', 36)}`
const canary: Canary = { name: 'bait', value: sample('lower', 32, 7) }
const secret = 'correct horse battery staple 42'
const fingerprint = fingerprintOf('phrase', Buffer.from(secret), SALT, digest)

const watching = (fingerprints: readonly Fingerprint[] = [], canaries: readonly Canary[] = []) =>
  new Watch(SALT, digest, fingerprints, canaries)
const words = (one: Finding): string => `${one.detector} ${one.through.join('>')} ${one.span?.start ?? ''}-${one.span?.end ?? ''}`

/** Each piece is written by itself; null: there another request begins. */
function scanned(pieces: readonly (Uint8Array | string | null)[], watch: Watch | null = null): string[] {
  const found: string[] = []
  const scanner = new Scanner(rules, watch, (finding) => found.push(words(finding)))
  for (const piece of pieces) {
    if (piece !== null) scanner.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)
    else {
      scanner.settle()
      scanner.broken()
    }
  }
  scanner.settle()
  return found
}

function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const inside = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [...inside, bytes.length].map((to, index) => bytes.subarray(inside[index - 1] ?? 0, to))
}

const chunks = (bytes: Uint8Array, size: number): Uint8Array[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size))

const piece = fc.oneof(
  fc.constantFrom(...detectors.flatMap(({ examples }) => [...examples.match, ...examples.not])),
  fc.constantFrom(token, secret, canary.value, '%67%68p_', '\\u0041', '-----', 'eyJ', ' ', '\n', '"', '%', '\\'),
  fc.string({ maxLength: 30 }),
)
const hidden = fc
  .tuple(piece, fc.constantFrom('latin1', 'base64', 'hex', 'gzip', 'base64 gzip', 'percent') as fc.Arbitrary<string>)
  .map(([text, how]) => {
    const bytes = Buffer.from(text, 'latin1')
    if (how === 'percent') return Buffer.from([...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''))
    if (how === 'gzip') return gzipSync(bytes)
    if (how === 'base64 gzip') return Buffer.from(gzipSync(bytes).toString('base64'))
    return how === 'latin1' ? bytes : Buffer.from(bytes.toString(how as 'base64' | 'hex'))
  })

/** What was found, and where in the clear; which of several ways to one value is told does not matter. */
const distinct = (found: readonly string[]): string[] =>
  [...new Set(found.flatMap((one) => [one.split(' ')[0] as string, ...(one.endsWith(' -') ? [] : [one])]))].sort()

test('base32 is seen through wherever it begins, in either case; in both at once, from 32 characters on', () => {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  const bits = [...Buffer.from(token)].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  const encoded = (bits.match(/.{1,5}/g) ?? []).map((group) => letters[Number.parseInt(group.padEnd(5, '0'), 2)]).join('')
  const mixed = [...encoded].map((one, index) => (index % 3 === 0 ? one.toLowerCase() : one)).join('')
  for (const text of [encoded, encoded.toLowerCase(), `value27${encoded}`, `VALUE2${encoded.toLowerCase()}`, `x=${mixed};`])
    expect([text, scanned([text])]).toEqual([text, ['github-token base32 -']])
})

test('the same is found in any pieces', () => {
  fc.assert(
    fc.property(fc.array(hidden, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 30 }), (parts, places) => {
      const bytes = Buffer.concat(parts)
      const watch = watching([fingerprint], [canary])
      const whole = distinct(scanned([bytes], watch))
      expect(distinct(scanned(cut(bytes, places), watch))).toEqual(whole)
      expect(
        distinct(
          scanned(
            [...bytes].map((byte) => Uint8Array.of(byte)),
            watch,
          ),
        ),
      ).toEqual(whole)
    }),
    { numRuns: 200 },
  )
})

test('how much was written at once does not make one value two, where escapes come and go', () => {
  const people = Array.from({ length: 24 }, (_, index) => `person${index}@mail${index % 7}.org`).join('\n')
  for (const text of [people, Buffer.from(people).toString('hex')]) {
    // The last of them ends where what was escaped is looked into no more.
    for (let beyond = -6; beyond < 6; beyond += 1) {
      const before = `\\ ${' '.repeat(4096 + beyond - text.length)}`
      for (const size of [1, 7, 9000]) expect(scanned(chunks(Buffer.from(before + text), size))).toEqual([])
    }
    // And one begins before what is looked into with an escape.
    for (let before = 1000; before < 1048; before += 1) {
      const bytes = Buffer.from(`${text}\n${'x'.repeat(before)}%41`)
      for (const size of [1, 9000]) expect(scanned(chunks(bytes, size))).toEqual([])
    }
  }
})

test('a compressed file whose first character is escaped is unpacked to its end', () => {
  const noise = Buffer.from(Array.from({ length: 9000 }, (_, at) => Math.imul(at + 1, 2_654_435_761) >>> 24))
  const packed = gzipSync(Buffer.concat([noise, Buffer.from(`\n${token}\n`)])).toString('base64')
  for (const size of [100, 100_000])
    expect(scanned(chunks(Buffer.from(`\\u00${packed.charCodeAt(0).toString(16)}${packed.slice(1)}`), size))).toEqual([
      'github-token escapes>base64>gzip -',
    ])
})

test('what may become a finding has not left when it becomes one', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...detectors.filter(({ atLeast }) => atLeast === null)),
      fc.nat(),
      fc.array(fc.nat(), { maxLength: 20 }),
      ({ name, examples }, which, places) => {
        const value = examples.match[which % examples.match.length] as string
        const bytes = Buffer.from(`first line\n${value}\n`, 'latin1')
        let released = 0
        let written = 0
        const starts: number[] = []
        const scanner = new Scanner(rules, null, (finding) => {
          if (finding.detector === name && finding.span !== null) starts.push(finding.span.start - released)
        })
        for (const part of cut(bytes, places)) {
          written += part.length
          scanner.write(part)
          released = Math.max(released, written - scanner.heldBytes)
        }
        scanner.settle()
        expect(starts.length).toBeGreaterThan(0)
        expect(Math.min(...starts)).toBeGreaterThanOrEqual(0)
      },
    ),
    { numRuns: 500 },
  )
})

describe('the work is a bounded number of steps a byte', () => {
  const fills: Record<string, (length: number) => Buffer> = {
    text: (length) => Buffer.from('The quick brown fox jumps over the lazy dog. '.repeat(length / 45 + 1)).subarray(0, length),
    digits: (length) => Buffer.from('4111 1111 1111 1112 '.repeat(length / 20 + 1)).subarray(0, length),
    'one digit': (length) => Buffer.alloc(length, '4'),
    'beginnings of tokens': (length) => Buffer.from(`AKIAgh${'p_'}sk-`.repeat(length / 12 + 1)).subarray(0, length),
    base64: (length) =>
      Buffer.from(Buffer.from('text that is hidden, again and again '.repeat(length)).toString('base64').slice(0, length)),
    'base64 in base64 in base64': (length) => {
      let text = 'text that is hidden, again and again '.repeat(length / 37 + 1)
      for (let time = 0; time < 4; time += 1) text = Buffer.from(text).toString('base64')
      return Buffer.from(text.slice(0, length))
    },
    escapes: (length) => Buffer.from('%25%41\\u0041\\'.repeat(length / 14 + 1)).subarray(0, length),
    'marks of compressed data': (length) =>
      Buffer.from('\x1f\x8b\x08\x00\x78\x9cPK\x03\x04'.repeat(length / 10 + 1), 'latin1').subarray(0, length),
    addresses: (length) => Buffer.from(Array.from({ length: length / 12 }, (_, index) => `a${index}@b.org,`).join('')).subarray(0, length),
    passwords: (length) => Buffer.from('password="'.repeat(length / 10 + 1)).subarray(0, length),
  }
  test.each(Object.entries(fills))('%s', (_, fill) => {
    const steps = (length: number): number => {
      const scanner = new Scanner(rules, watching([fingerprint], [canary]), () => undefined)
      scanner.write(fill(length))
      scanner.settle()
      return scanner.steps
    }
    steps(20_000)
    const [small, large] = [steps(20_000), steps(80_000)]
    expect(large / small).toBeLessThan(5)
    expect(large / 80_000).toBeLessThan(400)
  })
})

test('a bomb is told, whether in the clear, nested or in base64, and what it holds is not made', () => {
  const bomb = gzipSync(Buffer.alloc(48 * 1024 * 1024))
  for (const bytes of [bomb, Buffer.from(bomb.toString('base64')), gzipSync(gzipSync(Buffer.alloc(200 * 1024 * 1024)))]) {
    expect(scanned([bytes]).some((finding) => finding.startsWith('unscannable'))).toBe(true)
  }
})

test('what cannot be looked into is told', () => {
  const encrypted = Buffer.alloc(60)
  encrypted.write('PK\x03\x04', 0, 'latin1')
  encrypted.writeUInt16LE(1, 6)
  for (const bytes of [
    encrypted,
    Buffer.from('\xfd7zXZ\0', 'latin1'),
    Buffer.from('7z\xbc\xaf\x27\x1c', 'latin1'),
    Buffer.from('(\xb5/\xfd....', 'latin1'),
  ]) {
    expect(scanned([bytes])).toEqual([expect.stringMatching(/^unscannable/)])
    expect(scanned([Buffer.from(`{"file":"${Buffer.concat([bytes, Buffer.alloc(30)]).toString('base64')}"}`)])).toEqual([
      expect.stringMatching(/^unscannable base64/),
    ])
  }
})

describe('over the border between two requests', () => {
  test('a token is whole, a number is not', () => {
    expect(scanned([`x=${token.slice(0, 20)}`, null, token.slice(20)])).toEqual([expect.stringContaining('github-token')])
    expect(scanned([Buffer.from(token).toString('base64').slice(0, 30), null, Buffer.from(token).toString('base64').slice(30)])).toEqual([
      expect.stringContaining('github-token base64'),
    ])
    expect(scanned(['41111111', null, '11111111'])).toEqual([])
    expect(scanned(['12', null, `4111${'1111'.repeat(3)}`])).toEqual([expect.stringContaining('card-number')])
  })

  test('most of a token at the end of one is taken for all of it', () => {
    expect(scanned([token.slice(0, 34)])).toEqual([expect.stringContaining('github-token')])
    expect(scanned([token.slice(0, 20)])).toEqual([])
  })

  test('each is told again, though it was told before', () => {
    expect(scanned([token, null, `${token} `, null, token])).toHaveLength(3)
  })
})

describe('exact values', () => {
  const watch = watching([fingerprint], [canary])
  const only = (text: string | Uint8Array): string[] => scanned([text], watch).map((finding) => finding.split(' ')[0] as string)

  test('a fingerprint is known in every form, and nothing else is taken for it', () => {
    expect(only(`a ${secret} b`)).toEqual(['fingerprint:phrase'])
    expect(only(Buffer.from(`x${secret}`).toString('base64'))).toEqual(['fingerprint:phrase'])
    expect(only(encodeURIComponent(secret))).toEqual(['fingerprint:phrase'])
    expect(only(secret.replace('42', '43'))).toEqual([])
    expect(only(secret.toUpperCase())).toEqual([])
    expect(JSON.stringify(fingerprint)).not.toContain('horse')
  })

  test('a canary is known by any eight of its characters, large or small, backwards, turned by thirteen', () => {
    for (const form of [
      canary.value,
      canary.value.slice(5, 13),
      canary.value.toUpperCase(),
      [...canary.value].reverse().join(''),
      canary.value.replace(/[a-z]/g, (letter) => String.fromCharCode(((letter.charCodeAt(0) - 97 + 13) % 26) + 97)),
      Buffer.from(canary.value).toString('hex'),
      gzipSync(canary.value),
    ]) {
      expect(only(form)).toEqual(['canary:bait'])
    }
    expect(only(canary.value.slice(0, 7))).toEqual([])
  })

  test('a flood of beginnings does not hide a value', () => {
    expect(only(`${secret.slice(0, 12).repeat(500)}${secret}`)).toContain('fingerprint:phrase')
  })
})
