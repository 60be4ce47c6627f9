import type { Scanned, ScanRules } from '@caisson/policy'
import { Fault } from '@caisson/wire'
import type { Reader } from './reading.ts'

/** Rejects with POLICY_INVALID, naming rule and example, if a rule misses one of its own examples or matches a counterexample. */
export async function checkExamples(rules: ScanRules, languages: readonly Scanned[], reader: Pick<Reader, 'facts'>): Promise<void> {
  for (const { name, set, examples } of rules.all) {
    for (const [isMatch, list] of [
      [true, examples.match],
      [false, examples.not],
    ] as const) {
      for (const { language, code } of list.filter((example) => languages.includes(example.language))) {
        const isFound = rules.judge(await reader.facts(language, code), [set]).some(({ rule }) => rule === name)
        if (isFound === isMatch) continue
        const said = isMatch ? 'not found' : 'found, and should not be'
        throw new Fault('POLICY_INVALID', `scan rule ${name}: its example ${JSON.stringify(code)} is ${said}`)
      }
    }
  }
}
