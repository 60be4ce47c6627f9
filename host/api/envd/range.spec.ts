import fc from 'fast-check'
import { expect, test } from 'vitest'
import { rangeOf } from './range.ts'

test('first and last, from a place on, the last so many', () => {
  expect(rangeOf('bytes=0-0', 10)).toEqual({ offset: 0, length: 1 })
  expect(rangeOf('bytes=2-4', 10)).toEqual({ offset: 2, length: 3 })
  expect(rangeOf('bytes=2-', 10)).toEqual({ offset: 2, length: 8 })
  expect(rangeOf('bytes=-3', 10)).toEqual({ offset: 7, length: 3 })
  expect(rangeOf('bytes=-30', 10)).toEqual({ offset: 0, length: 10 })
  expect(rangeOf('bytes=5-999999', 10)).toEqual({ offset: 5, length: 5 })
})

test('what is not there, and what is no range', () => {
  for (const beyond of ['bytes=10-', 'bytes=10-20', 'bytes=-0']) expect(rangeOf(beyond, 10), beyond).toBe('beyond')
  for (const none of [undefined, '', 'bytes=', 'bytes=-', 'bytes=4-2', 'bytes=a-b', 'bytes=1-2,4-5', 'lines=1-2', 'bytes=1.5-2']) {
    expect(rangeOf(none, 10), none).toBeUndefined()
  }
  expect(rangeOf('bytes=0-', 0)).toBe('beyond')
  expect(rangeOf('bytes=-1', 0)).toBe('beyond')
})

test('never more than there is', () => {
  const number = fc.option(fc.nat(), { nil: '' })
  fc.assert(
    fc.property(number, number, fc.nat(), (first, last, size) => {
      const range = rangeOf(`bytes=${first}-${last}`, size)
      if (range === undefined || range === 'beyond') return
      expect(range.length).toBeGreaterThan(0)
      expect(range.offset + range.length).toBeLessThanOrEqual(size)
    }),
  )
})
