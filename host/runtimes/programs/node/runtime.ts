import process from 'node:process'
import { renew } from './chance.ts'
import { Control, type Request, stringify } from './control.ts'
import { type Failure, failureOf, hideOurFrames, INTERRUPTED } from './failures.ts'
import { displayed, type Forms, formsOf } from './forms.ts'
import { Loader } from './loader.ts'
import { runProgram, toItsEnd } from './program.ts'
import { Session } from './session.ts'

type RunRequest = Extract<Request, { op: 'run' }>

/** The host's limit for the results of one run (MAX_RESULTS_BYTES in wire/limits.ts), with some margin. */
const MAX_RESULTS_BYTES = 60 * 1024 * 1024
const KEPT_OUT = 'caisson: a result was left out: one may have 31 MiB, those of a run 60 MiB together\n'

/** Program paths that are no files. Such programs may do all that cells do, and their last value is shown. */
const SNIPPETS = ['-c', '-']

interface Running {
  id: number
  room: number
  failure: Failure | undefined
  /** Stops waiting for what the cell awaits. Operations that it started cannot be stopped. */
  stop: () => void
}

/** The JavaScript and TypeScript runtime. It handles one request after the other. */
export class Runtime {
  readonly #typescript: boolean
  readonly #control = new Control()
  readonly #loader = new Loader()
  readonly #session: Session
  #current: Running | undefined
  #count = 0
  #isProgram = false
  #isDeaf = false

  constructor(typescript: boolean) {
    this.#typescript = typescript
    this.#session = new Session(typescript, this.#loader)
    this.#loader.teachRequire()
  }

  readonly #onInterrupt = () => this.#interrupt()
  readonly #onException = (error: unknown) => this.#stray('uncaughtException', error)
  readonly #onRejection = (error: unknown) => this.#stray('unhandledRejection', error)

  serve(): void {
    for (const stream of [process.stdout, process.stderr]) blocking(stream as object)
    hideOurFrames(() => this.#session.caller)
    this.#session.furnish((value) => this.#emit(displayed(value), false))
    process.on('SIGINT', this.#onInterrupt)
    process.on('uncaughtException', this.#onException)
    process.on('unhandledRejection', this.#onRejection)
    this.#control.listen(
      (request) => this.#hear(request),
      () => EXIT(0),
    )
  }

  #hear(request: Request): void {
    if (request.op === 'init') this.#init(request)
    else if (request.op === 'renew') this.#renew()
    else if (request.op === 'interrupt') {
      // Signals the whole process group, including what the code has started. Our own handler receives it here.
      if (request.id === this.#current?.id && !this.#isProgram) process.kill(0, 'SIGINT')
    } else if (request.program !== undefined) this.#program(request, request.program)
    else void this.#cell(request)
  }

  #init(request: Extract<Request, { op: 'init' }>): void {
    setEnvironment(request.env)
    try {
      process.chdir(request.cwd)
    } catch (error) {
      const message = `the folder of the context: ${error instanceof Error ? error.message : String(error)}`
      this.#control.send({ type: 'failed', code: 'FILE_MISSING', message })
      EXIT(1)
    }
    this.#control.send({ type: 'ready' })
  }

  #renew(): void {
    try {
      renew()
    } catch (error) {
      // It would generate the same secrets as others.
      const message = `no randomness of its own was to be had: ${error instanceof Error ? error.message : String(error)}`
      this.#control.send({ type: 'failed', code: 'LANGUAGE_UNAVAILABLE', message })
      EXIT(1)
    }
    // An adopting host interrupts the earlier host's run before this. That signal may arrive only after the first run has begun, so it is ignored for two
    // turns.
    this.#isDeaf = true
    setImmediate(() => setImmediate(() => (this.#isDeaf = false)))
  }

  async #cell(request: RunRequest): Promise<void> {
    this.#count += 1
    const stopped = new Promise<undefined>((resolve) => {
      const stop = () => {
        running.failure = INTERRUPTED
        resolve(undefined)
      }
      const running: Running = { id: request.id, room: MAX_RESULTS_BYTES, failure: undefined, stop }
      this.#current = running
    })
    const running = this.#current as Running | undefined
    const undo = changeEnvironment(request.env)
    // An interrupt that arrived with the request is handled first.
    await new Promise(setImmediate)
    try {
      if (running?.failure === undefined) {
        const value = await Promise.race([this.#session.run(request.code, `cell ${this.#count}`), stopped])
        if (value !== undefined && value[0] !== undefined) this.#emit(formsOf(value[0]), true)
      }
    } catch (error) {
      if (running !== undefined) running.failure ??= failureOf(error, this.#session.caller)
    }
    undo()
    this.#current = undefined
    if (running?.failure !== undefined) this.#control.send({ type: 'error', id: request.id, error: running.failure })
    this.#control.send({ type: 'end', id: request.id, executionCount: this.#count })
  }

  /** The program ends the process. The host reads the exit code from that and gets no end message. */
  #program(request: RunRequest, program: { path: string; args: string[] }): void {
    this.#isProgram = true
    this.#count += 1
    this.#current = { id: request.id, room: MAX_RESULTS_BYTES, failure: undefined, stop: () => undefined }
    process.off('SIGINT', this.#onInterrupt)
    process.off('uncaughtException', this.#onException)
    process.off('unhandledRejection', this.#onRejection)
    process.exit = EXIT
    setEnvironment({ ...process.env, ...request.env } as Record<string, string>)
    this.#control.unref()
    const tell = (error: unknown) => {
      const failure = failureOf(error, this.#session.caller)
      this.#control.send({ type: 'error', id: request.id, error: failure })
      return failure
    }
    if (SNIPPETS.includes(program.path)) toItsEnd(() => this.#snippet(request.code), tell)
    else runProgram({ ...program, code: request.code }, this.#typescript, this.#loader, tell)
  }

  async #snippet(code: string): Promise<void> {
    const value = await this.#session.run(code, '[eval]')
    if (value !== undefined && value[0] !== undefined) this.#emit(formsOf(value[0]), true)
  }

  #interrupt(): void {
    if (!this.#isDeaf) this.#current?.stop()
  }

  /** An uncaught exception belongs to the current run; without one, it is only printed. */
  #stray(event: 'uncaughtException' | 'unhandledRejection', error: unknown): void {
    // User code has a listener of its own.
    if (process.listenerCount(event) > 1) return
    const failure = failureOf(error, this.#session.caller)
    if (this.#current === undefined) process.stderr.write(`${failure.traceback}\n`)
    else {
      this.#current.stop()
      this.#current.failure = failure
    }
  }

  #emit(forms: Forms, isMainResult: boolean): void {
    const running = this.#current
    // From a timer of an earlier run.
    if (running === undefined) return
    const { json, data, chart, extra, ...texts } = forms
    const exact = Object.entries({ json, data, chart, extra }).flatMap(([form, value]) =>
      value === undefined ? [] : [[form, stringify(value)]],
    )
    const message = { type: 'result', id: running.id, result: { ...texts, isMainResult }, exact: Object.fromEntries(exact) }
    const bytes = running.room > 0 ? this.#control.send(message) : 0
    running.room -= bytes
    if (bytes === 0) process.stderr.write(KEPT_OUT)
  }
}

/**
 * Makes writes synchronous. For a full pipe Node would write in the background: the end of a run would overtake its output, and `process.exit` would cut it
 * off. `_handle` is internal to Node, but there is no other way.
 */
function blocking(stream: { _handle?: { setBlocking?(on: boolean): void } }): void {
  stream._handle?.setBlocking?.(true)
}

/** Node's own, before a session replaces it. */
const EXIT = process.exit.bind(process) as typeof process.exit

function setEnvironment(env: Record<string, string>): void {
  for (const name of Object.keys(process.env)) if (!(name in env)) delete process.env[name]
  Object.assign(process.env, env)
}

function changeEnvironment(changes: Record<string, string>): () => void {
  const before = Object.keys(changes).map((name) => [name, process.env[name]] as const)
  Object.assign(process.env, changes)
  return () => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
}
