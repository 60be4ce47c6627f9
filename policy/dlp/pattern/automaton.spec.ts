import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Automaton } from './automaton.ts'
import { readPositions } from './positions.ts'
import { PatternError } from './syntax.ts'

const matcher = (pattern: string, edges = false) => ({ positions: readPositions(pattern), edges, joins: true, holds: true })

/** Where matches end, as the machine has it. */
function ends(pattern: string, text: string): number[] {
  const automaton = new Automaton([matcher(pattern)])
  const found: number[] = []
  let state = automaton.root().offset
  for (const [at, byte] of [...Buffer.from(text, 'latin1')].entries()) {
    const to = automaton.step(state, byte)
    state = Math.abs(to)
    if (to < 0) found.push(at + 1)
  }
  return found
}

/** The same by trying every start and end with the language's own engine. */
function endsByTrial(pattern: string, text: string): number[] {
  const whole = new RegExp(`^(?:${pattern.replace('(?i)', '')})$`, pattern.startsWith('(?i)') ? 'i' : '')
  return [...text].map((_, at) => at + 1).filter((end) => [...text.slice(0, end)].some((_, start) => whole.test(text.slice(start, end))))
}

const atom = fc.constantFrom('a', 'b', '[ab]', '[^a]', '.', '\\d', '\\w', 'ab')
const pattern = fc.letrec((tie) => ({
  node: fc.oneof(
    { maxDepth: 3 },
    atom,
    fc.tuple(atom, fc.constantFrom('?', '*', '+', '{2}', '{1,3}', '{2,}')).map(([one, times]) => `(${one})${times}`),
    fc.tuple(tie('node'), tie('node')).map(([one, other]) => `${one}${other}`),
    fc.tuple(tie('node'), tie('node')).map(([one, other]) => `(${one}|${other})`),
    tie('node').map((one) => `(${one}){0,2}a`),
  ),
})).node as fc.Arbitrary<string>

test('it finds the ends that trying everything finds', () => {
  fc.assert(
    fc.property(pattern, fc.string({ unit: fc.constantFrom('a', 'b', '1', ' '), maxLength: 12 }), (source, text) => {
      fc.pre(!new RegExp(`^(?:${source})$`).test(''))
      expect(ends(source, text)).toEqual(endsByTrial(source, text))
    }),
    { numRuns: 2000 },
  )
})

test('case is ignored where that is said', () => {
  expect(ends('(?i)a[b-c]', 'aB Ac')).toEqual([2, 5])
})

describe('what cannot be followed in one pass, or is no pattern, is refused with its place', () => {
  test.each([
    ['(?=a)b', 'looking around'],
    ['(?:a)', 'groups are plain'],
    ['(a)\\1', 'references'],
    ['\\bab', 'edges'],
    ['^abc', 'lines'],
    ['abc$', 'lines'],
    ['(abc', 'not closed'],
    ['abc)', 'not opened'],
    ['[abc', 'not closed'],
    ['a**', 'follows another'],
    ['a{1000}', '512'],
    ['a{3,2}', 'wrong way round'],
    ['*a', 'nothing to repeat'],
    ['a?', 'nothing stands'],
    ['(a{500}){500}', '1024'],
    ['((((a{9}){9}){9}){9}){9}', '1024'],
    ['ab\\', 'backslash'],
    ['\\qa', '\\q'],
    ['ä', 'ASCII'],
    ['[z-a]', 'wrong way round'],
    [`${'('.repeat(30)}a${')'.repeat(30)}`, '20'],
    [`a${'b'.repeat(1000)}`, '1000'],
  ])('%.40s', (source, why) => {
    expect(() => readPositions(source)).toThrow(PatternError)
    expect(() => readPositions(source)).toThrow(why)
  })
})

test('however a pattern is made to meet new sets of positions, what is remembered of it is bounded', () => {
  const automaton = new Automaton([matcher('[ab]*a[ab]{20}c')])
  let state = automaton.root().offset
  const before = automaton.next.length
  let random = 1
  for (let at = 0; at < 60_000; at += 1) {
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0
    state = Math.abs(automaton.step(state, 0x61 + (random >>> 31)))
  }
  expect(automaton.made).toBeGreaterThan(100_000)
  expect(automaton.next.length).toBeLessThan(before * 5000)
})
