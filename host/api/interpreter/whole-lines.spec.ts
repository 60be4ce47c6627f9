import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { WholeLines } from './whole-lines.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function told(): { lines: WholeLines; said: [string, number][] } {
  const said: [string, number][] = []
  return { lines: new WholeLines((text, atMs) => void said.push([text, atMs])), said }
}

test('words are told as the line that they make, at the time of the first', () => {
  const { lines, said } = told()
  for (const [index, word] of ['[1]', ' ', '"a"', '\n', '[1] 2\n'].entries()) void lines.add(word, index + 1)
  expect(said).toEqual([
    ['[1] "a"\n', 1],
    ['[1] 2\n', 5],
  ])
})

test('half a line is told soon, or before anything else is, and once', () => {
  const { lines, said } = told()
  void lines.add('more? ', 1)
  expect(said).toEqual([])
  vi.runAllTimers()
  expect(said).toEqual([['more? ', 1]])
  void lines.add('half', 2)
  void lines.flush()
  vi.runAllTimers()
  expect(said).toEqual([
    ['more? ', 1],
    ['half', 2],
  ])
})

test('a line without end is not kept, and what is forgotten is not told', () => {
  const { lines, said } = told()
  for (let written = 0; written <= 64 * 1024; written += 1024) void lines.add('x'.repeat(1024), 1)
  expect(said.map(([text]) => text.length)).toEqual([65 * 1024])
  void lines.add('half', 2)
  lines.forget()
  vi.runAllTimers()
  expect(said).toHaveLength(1)
})
