import { expect, test } from 'vitest'
import { rulesOf } from '../../policy/dlp/rules.ts'
import { type Finding, Scanner } from '../../policy/dlp/scanner.ts'
import { negatives } from './negatives.ts'
import { CONTEXTS, detectors, ENCODINGS, NESTED } from './positives.ts'

const rules = rulesOf(detectors)

function findings(bytes: Uint8Array): Finding[] {
  const found: Finding[] = []
  const scanner = new Scanner(rules, null, (finding) => found.push(finding))
  for (let at = 0; at < bytes.length; at += 16_384) scanner.write(bytes.subarray(at, at + 16_384))
  scanner.settle()
  return found
}

const has = (detector: string, bytes: Uint8Array): boolean => findings(bytes).some((finding) => finding.detector === detector)
const plain = (text: string): Buffer => Buffer.from(text, 'latin1')

/** Each value in a context, as it may stand on a line of its own. */
function* values(): Generator<{ detector: string; text: string; context: string }> {
  for (const { name, examples } of detectors) {
    for (const value of examples.match) {
      for (const [context, around] of Object.entries(CONTEXTS)) {
        // A form or a table has no place for a text of many lines, and binary is in no text.
        if (context !== 'alone' && /[^\x20-\x7e]/.test(value)) continue
        yield { detector: name, text: around(value), context }
      }
    }
  }
}

test('what must not leave is found in every context, in the clear and hidden', () => {
  const missed: string[] = []
  let tried = 0
  const attempt = (detector: string, bytes: Uint8Array, how: string): void => {
    tried += 1
    if (!has(detector, bytes)) missed.push(`${detector}: ${how}`)
  }
  for (const { detector, text, context } of values()) {
    attempt(detector, plain(text), `${context}: ${text.slice(0, 40)}`)
    if (context !== 'alone' && context !== 'log') continue
    for (const [encoding, hide] of Object.entries(ENCODINGS)) attempt(detector, hide(plain(text)), `${context}, ${encoding}`)
    if (context !== 'log') continue
    for (const [outer, inner] of NESTED) {
      const [around, within] = [ENCODINGS[outer], ENCODINGS[inner]]
      if (around === undefined || within === undefined) throw new Error(`no encoding ${outer}, ${inner}`)
      attempt(detector, around(within(plain(text))), `${inner} in ${outer}`)
    }
  }
  const recall = (tried - missed.length) / tried
  console.log(`recall ${(recall * 100).toFixed(2)} % of ${tried}; missed:\n${missed.slice(0, 60).join('\n')}`)
  expect(tried).toBeGreaterThan(3000)
  expect(recall).toBeGreaterThanOrEqual(0.99)
})

test('what everybody sends is let through', () => {
  const all = negatives()
  const wrong = all.flatMap(({ name, bytes }) => {
    const found = [...new Set(findings(bytes).map(({ detector, through }) => `${detector} ${through.join('>')}`))]
    return found.length === 0 ? [] : [`${name}: ${found.join(', ')}`]
  })
  const bytes = all.reduce((sum, one) => sum + one.bytes.length, 0)
  const rate = wrong.length / all.length
  console.log(`false positives ${(rate * 100).toFixed(2)} % of ${all.length} texts, ${(bytes / 1e6).toFixed(1)} MB:\n${wrong.join('\n')}`)
  expect(all.length).toBeGreaterThan(200)
  expect(rate).toBeLessThanOrEqual(0.01)
})
