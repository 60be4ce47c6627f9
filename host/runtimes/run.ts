import { type Execution, MAX_RESULTS_BYTES, type ProcessExit, type RunEvent, type RunRequest } from '@caisson/wire'
import { type Settled, settled } from '../lifetimes.ts'
import { violation } from './control-lines.ts'
import type { RuntimeMessage } from './runtime.ts'

/** One run under way: what has come of it so far. */
export class Run {
  readonly id: number
  readonly ended: Settled<Execution> = settled()
  /** Why it is being stopped, when it is. */
  stopped: 'timeout' | 'abort' | undefined
  readonly #language: string
  readonly #isProgram: boolean
  readonly #on: (event: RunEvent) => void
  readonly #execution: Execution = { results: [], stdout: '', stderr: '', executionCount: 0 }
  readonly #texts: Record<'stdout' | 'stderr', string[]> = { stdout: [], stderr: [] }
  #resultBytes = 0

  constructor(id: number, language: string, request: RunRequest, on: (event: RunEvent) => void) {
    this.id = id
    this.#language = language
    this.#isProgram = request.program !== undefined
    this.#on = on
  }

  say(type: 'stdout' | 'stderr', text: string, atMs: number): void {
    if (text === '') return
    this.#texts[type].push(text)
    this.#on({ type, text, atMs })
  }

  /** A message of this run. Throws WIRE_VIOLATION. */
  hear(message: Extract<RuntimeMessage, { id: number }>, bytes: number): void {
    if (message.id !== this.id) throw violation(`a message of run ${message.id} during run ${this.id}`)
    if (message.type === 'end') {
      this.#execution.executionCount = message.executionCount
      if (message.exitCode !== undefined) this.#execution.exitCode = message.exitCode
      if (message.limit !== undefined) this.#execution.limit = message.limit
      this.#finish()
      return
    }
    // An error is bounded by the same sum: a guest that sends them without end must not fill the host.
    this.#resultBytes += bytes
    if (this.#resultBytes > MAX_RESULTS_BYTES) throw violation(`more than ${MAX_RESULTS_BYTES} bytes of results`)
    if (message.type === 'result') {
      this.#execution.results.push(message.result)
      this.#on({ type: 'result', result: message.result })
    } else {
      this.#execution.error = message.error
      this.#on({ type: 'error', error: message.error })
    }
  }

  /** The process is no more, and did not say how the run ended. A program may end itself; a context may not. */
  died(exit: ProcessExit, executionCount: number): void {
    this.#execution.executionCount = executionCount
    this.#execution.exitCode = exit.exitCode
    if (exit.limit !== undefined) this.#execution.limit = exit.limit
    if (!this.#isProgram || exit.signal !== undefined) {
      const how = exit.signal === undefined ? `with exit code ${exit.exitCode}` : `by signal ${exit.signal}`
      const value = `the ${this.#language} runtime was ended ${how}; its state is lost`
      const error = { name: 'RuntimeDied', value, traceback: `RuntimeDied: ${value}` }
      this.#execution.error ??= error
      this.#on({ type: 'error', error })
    }
    this.#finish()
  }

  #finish(): void {
    if (this.stopped === 'timeout') this.#execution.limit ??= 'timeout'
    this.#execution.stdout = this.#texts.stdout.join('')
    this.#execution.stderr = this.#texts.stderr.join('')
    this.ended.resolve(this.#execution)
  }
}
