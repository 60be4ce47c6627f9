import fc from 'fast-check'
import { expect, test } from 'vitest'
import { contentDisposition } from './content.ts'

test('names as browsers read them', () => {
  expect(contentDisposition('a.txt')).toBe('inline; filename=a.txt')
  expect(contentDisposition('a "b" \\c.txt')).toBe('inline; filename="a \\"b\\" \\\\c.txt"')
  expect(contentDisposition("ü'(*).txt")).toBe("inline; filename*=utf-8''%C3%BC%27%28%2A%29.txt")
  expect(contentDisposition('')).toBe("inline; filename*=utf-8''")
})

test('no name ends the header, or the string in it', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (name) => {
      const header = contentDisposition(name)
      expect(header).toMatch(/^[\x20-\x7e]*$/)
      const [, quoted] = /^inline; filename="((?:[^"\\]|\\.)*)"$/.exec(header) ?? []
      if (quoted !== undefined) expect(quoted.replace(/\\(.)/g, '$1')).toBe(name)
    }),
  )
})
