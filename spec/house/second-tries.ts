import type { Reporter, TestCase } from 'vitest/node'

/** Names at the end of a run what passed at its second try only, and why its first one failed: it is green, and somebody has to look at it. */
export class SecondTries implements Reporter {
  readonly #found: string[] = []

  onTestCaseResult(test: TestCase): void {
    if (test.diagnostic()?.flaky !== true) return
    const [failure] = test.result().errors ?? []
    const [why = ''] = (failure?.message ?? '').split('\n')
    this.#found.push(`  ${test.module.relativeModuleId} > ${test.fullName}\n    ${why}`)
  }

  onTestRunEnd(): void {
    if (this.#found.length > 0) console.log(`\nPassed at the second try only: ${this.#found.length}\n${this.#found.join('\n')}\n`)
  }
}
