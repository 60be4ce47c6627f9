import { type ContextInfo, type Execution, Fault, languageOf, type RunError, type RunRequest } from '@caisson/wire'
import type { AuditLog } from '../audit/log.ts'
import { freshDeadline, orAborted } from '../lifetimes.ts'
import type { Listener } from '../runtimes/run.ts'
import type { Runtime } from '../runtimes/runtime.ts'
import * as shelf from '../runtimes/shelf.ts'
import type { Template } from '../templates/template.ts'
import { newId } from './ids.ts'
import { INIT_MS, type Interpreter, type InterpreterParts, Interpreters } from './interpreters.ts'
import type { OutputMeter } from './output-meter.ts'
import type { ContextRecord } from './record.ts'
import { parseContext, parseRun } from './request.ts'

const DEFAULT_LANGUAGE = 'python'
/** Each context is remembered even without a process, and all of them are stored with the sandbox whenever one changes. */
const MAX_CONTEXTS = 256

/** Languages that a new sandbox lists a context for. Only a forked interpreter has a process; the others are started at their first use. */
const FIRST: readonly Runtime[] = [shelf.python, shelf.javascript]

export interface ContextsParts extends InterpreterParts {
  template: Template
  auditLog: AuditLog
  contextsChanged: (contexts: ContextRecord[]) => void
  adopted: readonly ContextRecord[] | null
  kept: readonly ContextRecord[]
  /** Pids inside of the interpreters that were warmed up in advance. */
  forked: readonly number[]
}

/** A context. It exists before its first run and after its process has died. */
interface Slot {
  readonly info: ContextInfo
  readonly runtime: Runtime
  readonly isDefault: boolean
  /** Undefined: the next run starts an interpreter. */
  making: Promise<Interpreter> | undefined
  interpreter: Interpreter | undefined
  /** Resolves when all earlier runs are over. Runs are serialised because the meter counts one at a time. */
  turn: Promise<unknown>
  /**
   * Incremented when the process ends, unless it was killed to stop a run. A run that was queued before then fails instead of running in the next process,
   * which lacks the state of the earlier runs.
   */
  life: number
  /** The error that such a run gets. */
  reason: RunError
}

const RESTARTED: RunError = { name: 'ContextRestarting', value: 'Context was restarted', traceback: '' }
const REMOVED: RunError = { name: 'UnexpectedEndOfExecution', value: 'the context was removed before the run was over', traceback: '' }
const DIED: RunError = { name: 'ExecutionAborted', value: 'the context died in an earlier run; its state is lost', traceback: '' }

/** The stateful interpreters of one sandbox. */
export class Contexts {
  readonly #parts: ContextsParts
  readonly #interpreters: Interpreters
  /** By id, in order of creation. */
  readonly #slots = new Map<string, Slot>()
  /** The interpreter that was forked into the sandbox. */
  #warm: Interpreter | undefined

  /** An interpreter that was forked into the sandbox becomes the default context of its language, without a round trip. */
  constructor(parts: ContextsParts) {
    this.#parts = parts
    this.#interpreters = new Interpreters(parts)
    if (parts.adopted === null) this.#addFirst()
    else this.#adopt(parts.adopted)
  }

  #addFirst(): void {
    const { template, kept, forked } = this.#parts
    if (kept.length > 0) this.#adopt(kept)
    else for (const runtime of FIRST) if (template.languages.includes(runtime.name)) this.#add(runtime, true)
    const [pid] = forked
    const warm = FIRST.find(({ zygote }) => zygote)
    if (pid !== undefined && warm !== undefined) {
      const slot = this.#default(warm.name)
      this.#warm = this.#interpreters.attach(warm, slot.info, pid)
      this.#hold(slot, this.#warm)
    }
    this.#changed()
  }

  #adopt(records: readonly ContextRecord[]): void {
    for (const { id, language, cwd, pid, isDefault } of records) {
      const runtime = runtimes().find(({ name }) => name === language)
      if (runtime === undefined) continue
      const slot = this.#add(runtime, isDefault, { id, language, cwd })
      if (pid !== null) this.#hold(slot, this.#interpreters.adopt(runtime, slot.info, pid))
    }
  }

  /** Call this when the sandbox's environment is final, or has changed, and before any run. */
  begin(): void {
    // Each run reports why its interpreter did not begin.
    if (this.#warm !== undefined) this.#interpreters.begin(this.#warm).catch(() => undefined)
  }

  /** As `Interpreters.told`. */
  told(signal: AbortSignal): Promise<void> {
    return this.#interpreters.told(signal)
  }

  /** What another host needs in order to adopt these contexts. */
  records(): ContextRecord[] {
    return [...this.#slots.values()].map(({ info, interpreter, isDefault }) => ({
      ...info,
      pid: interpreter?.program.pid ?? null,
      isDefault,
    }))
  }

  /** The language of a run. An unknown language is reported by the run itself. */
  languageOf({ contextId, language = 'python' }: Pick<RunRequest, 'contextId' | 'language'>): string {
    return this.#slots.get(contextId ?? '')?.runtime.name ?? languageOf(language) ?? ''
  }

  list(): ContextInfo[] {
    return [...this.#slots.values()].map(({ info }) => info)
  }

  async create(raw: { language: string; cwd?: string }, signal: AbortSignal): Promise<ContextInfo> {
    const { language, cwd } = parseContext(raw)
    const runtime = this.#runtime(language)
    if (this.#slots.size >= MAX_CONTEXTS) {
      throw new Fault('LIMIT_HIT', `more than ${MAX_CONTEXTS} contexts in one sandbox`, {
        hint: 'Delete those that are not used any more.',
      })
    }
    const slot = this.#add(runtime, false, { id: newId('c'), language: runtime.name, cwd: cwd ?? this.#begins })
    try {
      await this.#begun(slot, signal)
    } catch (failure) {
      this.#slots.delete(slot.info.id)
      await this.#stop(slot, REMOVED, freshDeadline(INIT_MS)).catch(() => undefined)
      throw failure
    }
    return slot.info
  }

  /** Keeps id, language and folder, and drops all state. */
  async restart(id: string, signal: AbortSignal): Promise<void> {
    const slot = this.#find(id)
    if (slot.making === undefined) return
    await this.#stop(slot, RESTARTED, signal)
    await this.#begun(slot, signal)
  }

  async delete(id: string, signal: AbortSignal): Promise<void> {
    const slot = this.#find(id)
    this.#slots.delete(id)
    await this.#stop(slot, REMOVED, signal)
  }

  async interrupt(id: string, signal: AbortSignal): Promise<void> {
    const interpreter = await this.#find(id).making
    await interpreter?.context.interrupt(signal)
  }

  async run(raw: RunRequest, on: Listener, signal: AbortSignal): Promise<Execution> {
    const request = parseRun(raw)
    const { contextId, language } = request
    if (contextId !== undefined && language !== undefined) throw new Fault('BAD_REQUEST', 'contextId and language are both given')
    const slot = contextId === undefined ? this.#default(language) : this.#find(contextId)
    const { turn: before, life } = slot
    const running = orAborted(before, signal).then(() => this.#runIn(slot, life, request, on, signal))
    slot.turn = Promise.allSettled([before, running])
    return running
  }

  async #runIn(slot: Slot, life: number, request: RunRequest, on: Listener, signal: AbortSignal): Promise<Execution> {
    if (slot.life !== life) return aborted(slot.reason, on)
    const { meter, context } = await orAborted(this.#interpreter(slot), signal)
    const { auditLog, plan, ending, env } = this.#parts
    const { code } = request
    const named = { context: slot.info.id, language: slot.info.language }
    auditLog.append({ kind: 'run', sandbox: plan.id, ...named, code, codeBytes: Buffer.byteLength(code) }, { ...env, ...request.env })
    const mark = ending.mark
    meter.reset()
    return this.#judged(meter, await context.run(request, on, signal), mark)
  }

  /** A failure may be due to a limit: the kernel killed a child, or the disk is full. */
  async #judged(meter: OutputMeter, execution: Execution, mark: number): Promise<Execution> {
    const { ending } = this.#parts
    if (execution.limit === 'disk') await ending.hit('disk', 'no space or no inodes were left on the disk')
    if (meter.hit) return { ...execution, limit: 'output' }
    if (execution.limit !== undefined || (execution.error === undefined && (execution.exitCode ?? 0) === 0)) return execution
    const limit = await ending.hitSince(mark)
    return limit === undefined ? execution : { ...execution, limit }
  }

  #default(language: string = DEFAULT_LANGUAGE): Slot {
    const runtime = this.#runtime(language)
    return [...this.#slots.values()].find((slot) => slot.isDefault && slot.runtime === runtime) ?? this.#add(runtime, true)
  }

  get #begins(): string {
    const { cwd, user } = this.#parts.plan
    return cwd ?? user.home
  }

  #add(runtime: Runtime, isDefault: boolean, info = { id: newId('c'), language: runtime.name, cwd: this.#begins }): Slot {
    const slot: Slot = {
      info,
      runtime,
      isDefault,
      making: undefined,
      interpreter: undefined,
      turn: Promise.resolve(),
      life: 0,
      reason: DIED,
    }
    this.#slots.set(info.id, slot)
    return slot
  }

  /** The interpreter of this context, started if there is none. */
  #interpreter(slot: Slot): Promise<Interpreter> {
    if (slot.making !== undefined) return slot.making
    const making = this.#interpreters.start(slot.runtime, slot.info, freshDeadline(INIT_MS))
    slot.making = making
    making.then(
      (interpreter) => slot.making === making && this.#hold(slot, interpreter, making),
      () => slot.making === making && this.#lose(slot, DIED),
    )
    return making
  }

  #hold(slot: Slot, interpreter: Interpreter, making = Promise.resolve(interpreter)): void {
    const { program } = interpreter
    slot.making = making
    slot.interpreter = interpreter
    const forget = () => {
      if (slot.making !== making) return
      // A caller who stopped a run expects the next one to work.
      if (interpreter.context.isStopped) this.#lose(slot)
      else this.#lose(slot, DIED)
    }
    program.exit.then(forget, forget)
    this.#changed()
  }

  /** Forgets an interpreter that has ended or could not be started. The next run starts another. */
  #lose(slot: Slot, reason?: RunError): void {
    slot.making = slot.interpreter = undefined
    if (reason !== undefined) Object.assign(slot, { life: slot.life + 1, reason })
    this.#changed()
  }

  #changed(): void {
    this.#parts.contextsChanged(this.records())
  }

  async #begun(slot: Slot, signal: AbortSignal): Promise<void> {
    const { begun } = await orAborted(this.#interpreter(slot), signal)
    await orAborted(begun, signal)
  }

  async #stop(slot: Slot, reason: RunError, signal: AbortSignal): Promise<void> {
    const { making } = slot
    this.#lose(slot, reason)
    // An interpreter that never started needs no cleanup.
    const interpreter = await making?.catch(() => undefined)
    await interpreter?.context.close(reason, signal)
  }

  #find(id: string): Slot {
    const slot = this.#slots.get(id)
    if (slot === undefined) throw new Fault('NOT_FOUND', `no context ${JSON.stringify(id)}`)
    return slot
  }

  #runtime(language: string): Runtime {
    const wanted = languageOf(language)
    const runtime = runtimes().find(({ name }) => name === wanted)
    if (runtime === undefined) {
      const known = runtimes().map(({ name }) => name)
      throw new Fault('LANGUAGE_UNKNOWN', `no language ${JSON.stringify(language)}; there are: ${known.join(', ')}`)
    }
    if (this.#parts.template.languages.includes(runtime.name)) return runtime
    throw new Fault('LANGUAGE_UNAVAILABLE', `template ${this.#parts.template.name} has no ${runtime.name}. ${runtime.mend}`, {
      hint: runtime.mend,
    })
  }
}

export function aborted(error: RunError, on: Listener): Execution {
  void on({ type: 'error', error })
  return { results: [], stdout: '', stderr: '', executionCount: 0, error }
}

function runtimes(): readonly Runtime[] {
  return Object.values(shelf)
}
