import { type Execution, MAX_RESULTS_BYTES, type ProcessExit, type RunError, type RunEvent, type RunRequest } from '@caisson/wire'
import { type Settled, settled } from '../lifetimes.ts'
import { violation } from './control-lines.ts'
import type { RuntimeMessage } from './runtime.ts'

/** Receives the events of a run. While a returned promise is pending, nothing more is read of it (backpressure). */
export type Listener = (event: RunEvent) => void | Promise<void>

/** The current run and what it has produced so far. */
export class Run {
  readonly id: number
  readonly isProgram: boolean
  readonly ended: Settled<Execution> = settled()
  /** Why it is being stopped, if it is. */
  stopped: 'timeout' | 'abort' | undefined
  readonly #language: string
  readonly #isKept: boolean
  readonly #on: Listener
  readonly #execution: Execution = { results: [], stdout: '', stderr: '', executionCount: 0 }
  readonly #texts: Record<'stdout' | 'stderr', string[]> = { stdout: [], stderr: [] }
  #resultBytes = 0
  #stalled: Promise<unknown> | undefined

  constructor(id: number, language: string, request: RunRequest, on: Listener) {
    this.id = id
    this.#language = language
    this.isProgram = request.program !== undefined
    this.#isKept = request.streamed !== true
    this.#on = on
  }

  /** `executionCount` includes this run. */
  start(executionCount: number): void {
    this.#tell({ type: 'started', executionCount })
  }

  say(type: 'stdout' | 'stderr', text: string, atMs: number): void {
    if (text === '') return
    if (this.#isKept) this.#texts[type].push(text)
    this.#tell({ type, text, atMs })
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
    // Errors count towards the same bound: a guest that sends them without end must not fill the host's memory.
    this.#resultBytes += bytes
    if (this.#resultBytes > MAX_RESULTS_BYTES) throw violation(`more than ${MAX_RESULTS_BYTES} bytes of results`)
    if (message.type === 'result') {
      if (this.#isKept) this.#execution.results.push(message.result)
      const { result, exact } = message
      this.#tell({ type: 'result', result, ...(exact === undefined ? {} : { exact }) })
    } else {
      this.#execution.error = message.error
      this.#tell({ type: 'error', error: message.error })
    }
  }

  /** The process ended without an end message. That is normal for a program, not for a context. `reason`: given by whoever ended it. */
  died(exit: ProcessExit, executionCount: number, reason: RunError | undefined): void {
    this.#execution.executionCount = executionCount
    this.#execution.exitCode = exit.exitCode
    if (exit.limit !== undefined) this.#execution.limit = exit.limit
    if (reason !== undefined || !this.isProgram || exit.signal !== undefined) {
      const how = exit.signal === undefined ? `with exit code ${exit.exitCode}` : `by signal ${exit.signal}`
      const value = `the ${this.#language} runtime was ended ${how}; its state is lost`
      const error = reason ?? { name: 'RuntimeDied', value, traceback: `RuntimeDied: ${value}` }
      this.#execution.error ??= error
      this.#tell({ type: 'error', error })
    }
    this.#finish()
  }

  /** Resolves when the listener is ready for more. */
  async listened(): Promise<void> {
    while (this.#stalled !== undefined) {
      const stalled = this.#stalled
      await stalled
      if (this.#stalled === stalled) this.#stalled = undefined
    }
  }

  get isStalled(): boolean {
    return this.#stalled !== undefined
  }

  #tell(event: RunEvent): void {
    const more = this.#on(event)
    if (more !== undefined) this.#stalled = more.catch(() => undefined)
  }

  #finish(): void {
    if (this.stopped === 'timeout') this.#execution.limit ??= 'timeout'
    this.#execution.stdout = this.#texts.stdout.join('')
    this.#execution.stderr = this.#texts.stderr.join('')
    this.ended.resolve(this.#execution)
  }
}
