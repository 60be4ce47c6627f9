import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readLabel, writeLabel } from './process-label.ts'

test('a label comes back as it was written', () => {
  const label = fc.record({
    tag: fc.option(fc.string({ unit: 'binary' }), { nil: undefined }),
    deadlineMs: fc.option(fc.nat(), { nil: undefined }),
    stdin: fc.boolean(),
  })
  fc.assert(
    fc.property(label, (written) => {
      expect(readLabel(writeLabel(written))).toEqual(written)
    }),
  )
})

test('what is no label says nothing', () => {
  const nothing = { tag: undefined, deadlineMs: undefined, stdin: false }
  for (const text of ['', 'work', '12 x', '99999999999999999999', ' i', '-i', '-x']) {
    expect(readLabel(text), text).toEqual(nothing)
  }
})
