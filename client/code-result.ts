import type { EndReason, Execution, Rich, RunError } from '@caisson/wire'

/** What a piece of code did. An exception in the code is `error`, not a rejection. */
export class CodeResult implements Execution {
  readonly results: Rich[]
  readonly stdout: string
  readonly stderr: string
  readonly executionCount: number
  declare readonly error?: RunError
  declare readonly exitCode?: number
  declare readonly limit?: EndReason

  constructor(execution: Execution) {
    this.results = execution.results
    this.stdout = execution.stdout
    this.stderr = execution.stderr
    this.executionCount = execution.executionCount
    if (execution.error !== undefined) this.error = execution.error
    if (execution.exitCode !== undefined) this.exitCode = execution.exitCode
    if (execution.limit !== undefined) this.limit = execution.limit
  }

  /** The text of the last expression's value, if it had one. */
  get text(): string | undefined {
    return this.results.find((result) => result.isMainResult)?.text
  }
}
