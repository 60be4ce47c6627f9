import type { EndReason, Execution, Rich, RunEvent } from '@caisson/wire'

/** What a run has produced so far, kept because a limit may end the sandbox in the middle of it. */
export class Seen {
  readonly #results: Rich[] = []
  readonly #on: (event: RunEvent) => void
  #stdout: string[] = []
  #stderr: string[] = []

  constructor(on: (event: RunEvent) => void) {
    this.#on = on
  }

  readonly hear = (event: RunEvent): void => {
    if (event.type === 'stdout') this.#stdout.push(event.text)
    else if (event.type === 'stderr') this.#stderr.push(event.text)
    else if (event.type === 'result') this.#results.push(event.result)
    this.#on(event)
  }

  /** How a run ends that was never finished. */
  cutShort(limit: EndReason): Execution {
    return { results: this.#results, stdout: this.#stdout.join(''), stderr: this.#stderr.join(''), executionCount: 0, limit }
  }
}
