import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import * as limits from '../../wire/limits.ts'

const source = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8')

/** `pub const NAME: type = 256 * 1024;` */
function constants(rust: string): Map<string, number> {
  const found = [...rust.matchAll(/^pub const ([A-Z_]+): \w+ = ([0-9 *_]+);/gm)]
  return new Map(
    found.map(([, name = '', product = '']) => [name, product.split('*').reduce((all, one) => all * Number(one.replaceAll('_', '')), 1)]),
  )
}

test('every bound that both sides of the agent wire judge by is the same on both', async () => {
  const marked = [...(await source('wire/limits.ts')).matchAll(/\[rust\] \*\/\nexport const ([A-Z_]+)/g)].map(([, name = '']) => name)
  expect(marked).toContain('MAX_FRAME_BYTES')
  const rust = constants(await source('native/wire/src/lib.rs'))
  const ours = new Map(Object.entries(limits).filter(([name]) => marked.includes(name)))
  expect(rust).toEqual(ours)
})

test('a frame with the largest payload fits into the largest frame', () => {
  const otherFieldsBytes = 64
  expect(limits.MAX_DATA_BYTES + otherFieldsBytes).toBeLessThanOrEqual(limits.MAX_FRAME_BYTES)
  expect(limits.MAX_DATA_BYTES).toBeLessThanOrEqual(limits.INITIAL_WINDOW_BYTES)
})
