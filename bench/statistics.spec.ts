import { expect, test } from 'vitest'
import { series, summary } from './statistics.ts'

test('a percentile is the nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)
  expect(summary(hundred)).toEqual({ n: 100, min: 1, p50: 50, p95: 95, max: 100 })
})

test('one measurement is all of its percentiles', () => {
  expect(summary([7])).toEqual({ n: 1, min: 7, p50: 7, p95: 7, max: 7 })
})

test('no measurement has no summary', () => {
  expect(() => summary([])).toThrow(RangeError)
})

test('warm-up rounds do not count', async () => {
  let round = 0
  expect(await series(3, 2, async () => ++round)).toEqual({ n: 3, min: 3, p50: 4, p95: 5, max: 5 })
})
