import { randomBytes } from 'node:crypto'
import { type ContextInfo, type Execution, Fault, type ProcessExit, type RunError, type RunRequest } from '@caisson/wire'
import { cancelled, killNow, orAborted, refuseAborted, settled, unending } from '../lifetimes.ts'
import { type Begun, ControlLines, violation } from './control-lines.ts'
import { type Listener, Run } from './run.ts'
import type { Runtime, RuntimeMessage, RuntimeProcess, RuntimeRequest } from './runtime.ts'

const SIGINT = 2
const SIGKILL = 9
/** Grace period between an interrupt and the kill, for the code to clean up. */
const GRACE_MS = 2000
const SEED_BYTES = 32
/** Output that arrives while nothing runs (from a thread, or a background server) is kept for the next run, up to this many pieces. */
const MAX_BACKLOG_PIECES = 256

export interface ContextOptions {
  /** Its program was started by another host, and may still be busy with that host's run. */
  isAdopted?: boolean
  /** Since when the sandbox has not been frozen; Infinity while it is frozen. */
  awakeSinceMs?: () => number
  /** Shared with the sandbox's other contexts. */
  begun?: Begun
}

interface Piece {
  type: 'stdout' | 'stderr'
  text: string
  atMs: number
}

/** A stateful interpreter: one process inside the wall, and one run at a time. */
export class Context {
  readonly info: ContextInfo
  readonly #process: RuntimeProcess
  readonly #runtime: Runtime
  readonly #lines: ControlLines
  readonly #decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() }
  readonly #ready = settled<void>()
  /** False from `init` until the program has answered. A program that runs already is not asked again. */
  #isReady = true
  readonly #awakeSinceMs: () => number
  #isStopped = false
  #backlog: Piece[] = []
  #current: Run | undefined
  #count = 0
  /** Number of runs carried out; undefined for an adopted program until it has told. */
  #executions: number | undefined = 0
  /** Runs with ids up to this one belong to another host. */
  #strangers = 0
  /** Set when no further run is possible. */
  #over: Fault | undefined
  /** The error that the current run gets if the process is ended. */
  #reason: RunError | undefined
  /** Resolves when all earlier runs are over. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(
    process: RuntimeProcess,
    runtime: Runtime,
    info: ContextInfo,
    { isAdopted = false, awakeSinceMs = () => 0, begun }: ContextOptions = {},
  ) {
    // Run ids only grow, so that late messages about an earlier host's runs are recognised.
    if (isAdopted) {
      this.#count = this.#strangers = Date.now()
      this.#executions = undefined
      this.#ready.resolve()
    }
    this.#awakeSinceMs = awakeSinceMs
    this.#lines = new ControlLines(begun)
    this.#process = process
    this.#runtime = runtime
    this.info = info
    void this.#listen()
  }

  /** Resolves when the program is ready; a run need not wait for that. Rejects with LANGUAGE_UNAVAILABLE, FILE_MISSING or LAUNCH_FAILED. */
  async init(options: { cwd: string; env: Record<string, string> }, signal: AbortSignal): Promise<void> {
    this.#isReady = false
    await this.#send({ op: 'init', ...options, seed: newSeed() }, signal)
    await orAborted(this.#ready.promise, signal)
  }

  /** Reseeds the program's random number generators before any later request. */
  renew(signal: AbortSignal): Promise<void> {
    return this.#send({ op: 'renew', seed: newSeed() }, signal)
  }

  /**
   * Runs code after all earlier runs. On abort or at the time limit it interrupts the code, and kills the process if that does not help. Rejects with CANCELLED
   * after an abort, WIRE_VIOLATION, or the reason why there is no process any more. Errors of the code are in the result.
   */
  run(request: RunRequest, on: Listener, signal: AbortSignal): Promise<Execution> {
    const before = this.#turn
    const running = orAborted(before, signal).then(() => this.#run(request, on, signal))
    this.#turn = Promise.allSettled([before, running])
    return running
  }

  /** Whether its process had to be killed to stop a run. */
  get isStopped(): boolean {
    return this.#isStopped
  }

  /** Like Ctrl-C. No effect while nothing runs. */
  async interrupt(signal: AbortSignal): Promise<void> {
    const run = this.#current
    if (run === undefined) return
    await this.#send({ op: 'interrupt', id: run.id }, signal)
    if (!run.isProgram && this.#runtime.signalAfterMs !== undefined) await over(run, this.#runtime.signalAfterMs)
    if (this.#current !== run) return
    await this.#process.signal(SIGINT, signal)
  }

  /** Kills the process. The current run, if any, ends with `reason` as its error. */
  async close(reason: RunError, signal: AbortSignal): Promise<void> {
    this.#reason = reason
    if (this.#over === undefined) await this.#process.signal(SIGKILL, signal)
    await orAborted(this.#process.exit, signal)
  }

  async #run(request: RunRequest, on: Listener, signal: AbortSignal): Promise<Execution> {
    refuseAborted(signal)
    if (this.#over !== undefined) throw this.#over
    const run = new Run(this.#count + 1, this.info.language, request, on)
    const { code, env = {}, program, timeoutMs } = request
    const asked = this.#encode({ op: 'run', id: run.id, code, env, ...(program === undefined ? {} : { program }) })
    this.#count += 1
    this.#current = run
    if (this.#isReady) this.#start(run)
    const stop = (why: 'timeout' | 'abort') => this.#stop(run, why)
    const abort = () => stop('abort')
    signal.addEventListener('abort', abort, { once: true })
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => stop('timeout'), timeoutMs)
    try {
      this.#process.sendControl(asked, unending()).catch(() => undefined)
      const execution = await run.ended.promise
      if (run.stopped === 'abort') throw cancelled(signal)
      return execution
    } finally {
      signal.removeEventListener('abort', abort)
      clearTimeout(timer)
      this.#current = undefined
    }
  }

  /** Interrupts the code, and kills its process if it has not ended within the grace period. */
  #stop(run: Run, why: 'timeout' | 'abort'): void {
    if (run.stopped !== undefined) return
    run.stopped = why
    const askedMs = Date.now()
    // If the process is gone already, the run ends because of that.
    this.interrupt(unending()).catch(() => undefined)
    const kill = () => {
      // A frozen process receives nothing, so its grace period starts at the thaw.
      const leftMs = Math.max(askedMs, this.#awakeSinceMs()) + GRACE_MS - Date.now()
      if (leftMs > 0) timer = setTimeout(kill, Math.min(leftMs, GRACE_MS))
      else {
        this.#isStopped = true
        killNow(this.#process)
      }
    }
    let timer = setTimeout(kill, GRACE_MS)
    const settle = () => clearTimeout(timer)
    run.ended.promise.then(settle, settle)
  }

  #start(run: Run): void {
    if (this.#executions !== undefined) run.start(this.#executions + 1)
    for (const { type, text, atMs } of this.#backlog.splice(0)) run.say(type, text, atMs)
  }

  #encode(request: RuntimeRequest): Uint8Array {
    return this.#runtime.encode?.(request) ?? Buffer.from(`${JSON.stringify(request)}\n`, 'utf8')
  }

  async #send(request: RuntimeRequest, signal: AbortSignal): Promise<void> {
    if (this.#over !== undefined) throw this.#over
    await this.#process.sendControl(this.#encode(request), signal)
  }

  async #listen(): Promise<void> {
    try {
      for await (const { channel, bytes, atMs } of this.#process.output) {
        if (channel !== 'control') this.#say(channel, this.#decoders[channel].decode(bytes, { stream: true }), atMs)
        else for (const line of this.#lines.push(bytes)) this.#hear(line.message, line.bytes)
        if (this.#current?.isStalled) await this.#current.listened()
      }
      this.#bury(await this.#process.exit)
    } catch (failure) {
      const fault = failure instanceof Fault ? failure : new Fault('INTERNAL', 'listening to a runtime failed', { cause: failure })
      this.#end(fault)
      if (fault.code === 'WIRE_VIOLATION') killNow(this.#process)
    } finally {
      this.#lines.end()
    }
  }

  #say(type: 'stdout' | 'stderr', text: string, atMs: number): void {
    if (this.#current !== undefined && this.#isReady) this.#current.say(type, text, atMs)
    else if (text !== '') {
      this.#backlog.push({ type, text, atMs })
      if (this.#backlog.length > MAX_BACKLOG_PIECES) this.#backlog.shift()
    }
  }

  #hear(message: RuntimeMessage, bytes: number): void {
    if (message.type === 'ready') {
      if (this.#isReady) throw violation('a message of type ready to nobody who asked')
      this.#isReady = true
      this.#ready.resolve()
      if (this.#current !== undefined) this.#start(this.#current)
    } else if (message.type === 'failed') this.#end(new Fault(message.code, message.message))
    else if (message.id <= this.#strangers) return
    else if (this.#current === undefined) throw violation(`a message of type ${message.type} while nothing runs`)
    else {
      if (message.type === 'end') this.#beforeEnd(this.#current, message.executionCount)
      this.#current.hear(message, bytes)
      if (message.type === 'end') this.#current = undefined
    }
  }

  #beforeEnd(run: Run, executions: number): void {
    this.#flush(run)
    if (this.#executions === undefined) run.start(executions)
    this.#executions = executions
  }

  /** An incomplete character at the end of a run is emitted as such, and not completed by the next run. */
  #flush(run: Run): void {
    for (const type of ['stdout', 'stderr'] as const) run.say(type, this.#decoders[type].decode(), Date.now())
  }

  #bury(exit: ProcessExit): void {
    const how = exit.signal === undefined ? `with exit code ${exit.exitCode}` : `by signal ${exit.signal}`
    const run = this.#current
    this.#current = undefined
    if (run !== undefined && this.#over === undefined) {
      this.#flush(run)
      for (const { type, text, atMs } of this.#backlog.splice(0)) run.say(type, text, atMs)
      run.died(exit, (this.#executions ?? 0) + 1, this.#reason)
    }
    this.#end(new Fault('NOT_FOUND', `the ${this.info.language} runtime of context ${this.info.id} was ended ${how}`))
  }

  /** Only the first reason is kept. */
  #end(fault: Fault): void {
    this.#over ??= fault
    this.#ready.reject(this.#over)
    this.#current?.ended.reject(this.#over)
  }
}

export function newSeed(): string {
  return randomBytes(SEED_BYTES).toString('hex')
}

/** Resolves when the run is over, or after `ms`. */
function over(run: Run, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    const end = () => {
      clearTimeout(timer)
      resolve()
    }
    run.ended.promise.then(end, end)
  })
}
