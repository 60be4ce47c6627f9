import type { Detector } from './detectors/family.ts'
import { rulesOf } from './rules.ts'
import { Scanner } from './scanner.ts'

/** The first example that fails: a match not found, or a false positive. Null: all pass. */
export function prove(detector: Detector): { readonly list: 'match' | 'not'; readonly index: number; readonly why: string } | null {
  const rules = rulesOf([detector])
  for (const [list, isWanted] of [['match', true] as const, ['not', false] as const]) {
    for (const [index, example] of detector.examples[list].entries()) {
      let isFound = false
      const scanner = new Scanner(rules, null, (finding) => {
        isFound ||= finding.detector === detector.name
      })
      // The newline completes a match; an incomplete one would prove nothing.
      scanner.write(bytesOf(`${example}\n`))
      scanner.settle()
      if (isFound !== isWanted) return { list, index, why: isWanted ? 'does not find' : 'finds' }
    }
  }
  return null
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}
