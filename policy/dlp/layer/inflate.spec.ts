import { constants, deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Inflate } from './inflate.ts'

function inflated(packed: Uint8Array, cuts: readonly number[], most = Number.POSITIVE_INFINITY): { how: string | null; out: Buffer } {
  const out: Uint8Array[] = []
  let length = 0
  const inflate = new Inflate((bytes) => {
    out.push(bytes)
    length += bytes.length
    return length <= most
  })
  let how: string | null = null
  let from = 0
  for (const to of [...cuts, packed.length]) {
    if (how === null) how = inflate.feed(packed.subarray(from, to))
    from = to
  }
  return { how, out: Buffer.concat(out) }
}

const text = fc.oneof(
  fc.uint8Array({ maxLength: 3000 }),
  fc.array(fc.constantFrom('the ', 'quick ', 'brown ', '{"a":1}', '\n'), { maxLength: 3000 }).map((words) => Buffer.from(words.join(''))),
)

test('it unpacks what the platform packs, at every level and strategy, in any pieces', () => {
  const strategies = [constants.Z_DEFAULT_STRATEGY, constants.Z_HUFFMAN_ONLY, constants.Z_RLE, constants.Z_FIXED]
  const cuts = fc.array(fc.nat(3000), { maxLength: 20 })
  fc.assert(
    fc.property(text, fc.constantFrom(0, 1, 6, 9), fc.constantFrom(...strategies), cuts, (bytes, level, strategy, places) => {
      const packed = deflateRawSync(bytes, { level, strategy })
      const inside = [...new Set(places)].filter((place) => place < packed.length).sort((a, b) => a - b)
      const { how, out } = inflated(packed, inside)
      expect(how).toBe('whole')
      expect(out.equals(Buffer.from(bytes))).toBe(true)
    }),
    { numRuns: 300 },
  )
})

test('whatever it is fed, it ends or waits; and it stops when it is told that this is enough', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
      const { how, out } = inflated(bytes, [])
      expect(['whole', 'wrong', null]).toContain(how)
      expect(out.length).toBeLessThan(bytes.length * 1100 + 1)
    }),
    { numRuns: 2000 },
  )
  const bomb = deflateRawSync(Buffer.alloc(8 * 1024 * 1024))
  expect(inflated(bomb, [], 100_000)).toMatchObject({ how: 'enough' })
  expect(inflated(bomb, [], 100_000).out.length).toBeLessThan(120_000)
})
