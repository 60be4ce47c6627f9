import { type ContextInfo, type Execution, Fault, languageOf, type Plan, type RunEvent, type RunRequest } from '@caisson/wire'
import type { AgentConnection } from '../agent/connection.ts'
import { attachProgram, type ProcessOptions, type Program, startProgram } from '../agent/process.ts'
import type { AuditLog } from '../audit/log.ts'
import { freshDeadline, orAborted, unending } from '../lifetimes.ts'
import { Context } from '../runtimes/context.ts'
import type { Runtime } from '../runtimes/runtime.ts'
import * as shelf from '../runtimes/shelf.ts'
import type { Template } from '../templates/template.ts'
import type { Cell } from '../walls/wall.ts'
import type { Ending } from './ending.ts'
import { newId } from './ids.ts'
import { OutputMeter } from './output-meter.ts'
import type { ContextRecord } from './record.ts'
import { parseContext, parseRun } from './request.ts'

const DEFAULT_LANGUAGE = 'python'
const INIT_MS = 60_000
const FORK_MS = 30_000
const SIGINT = 2
const SIGKILL = 9

export interface ContextsParts {
  plan: Plan
  cell: Cell
  agent: AgentConnection
  ending: Ending
  template: Template
  env: Record<string, string>
  auditLog: AuditLog
  freshZygote: (signal: AbortSignal) => Promise<string | null>
  contextsChanged: (contexts: ContextRecord[]) => void
  adopted: readonly ContextRecord[] | null
}

interface Live {
  info: ContextInfo
  pid: number
  isDefault: boolean
  runtime: Runtime
  program: Program
  context: Context
  meter: OutputMeter
  /** Rejects when the program would not begin. */
  begun: Promise<void>
  /** Resolves when the runs that were asked for before are over: the meter counts one at a time. */
  turn: Promise<unknown>
}

interface Metered {
  options: ProcessOptions
  meter: OutputMeter
  program: Program | undefined
}

/** The languages with state of one sandbox. */
export class Contexts {
  readonly #parts: ContextsParts
  readonly #live = new Map<string, Live>()
  /** By name of the runtime: the context that runs what names none. */
  readonly #defaults = new Map<string, Promise<Live>>()
  #zygoteSocket: string | null

  /** A process that was forked into the sandbox as it was made becomes the default context of its language, at once and without a round trip. */
  constructor(parts: ContextsParts) {
    this.#parts = parts
    this.#zygoteSocket = parts.plan.zygote?.socket ?? null
    if (parts.adopted === null) this.#attachForked()
    else this.#adopt(parts.adopted)
  }

  #attachForked(): void {
    const { cell, plan } = this.#parts
    const [pid] = cell.ready.forked
    const warm = runtimes().find((runtime) => runtime.zygote)
    if (pid === undefined || warm === undefined) return
    const info = { id: newId('c'), language: warm.name, cwd: plan.user.home }
    this.#defaults.set(warm.name, Promise.resolve(this.#attach(warm, info, pid, true)))
  }

  /** What another host needs to go on with them. */
  records(): ContextRecord[] {
    const all = [...this.#live.values()]
    return all.map(({ info, pid, isDefault }) => ({ ...info, pid, isDefault }))
  }

  list(): ContextInfo[] {
    return [...this.#live.values()].map(({ info }) => info)
  }

  async create(raw: { language: string; cwd?: string }, signal: AbortSignal): Promise<ContextInfo> {
    const { language, cwd } = parseContext(raw)
    const live = await this.#make(this.#runtime(language), newId('c'), cwd, false, signal)
    await orAborted(live.begun, signal)
    return live.info
  }

  /** The same id, language and folder, and nothing of what was there. */
  async restart(id: string, signal: AbortSignal): Promise<void> {
    const old = this.#find(id)
    const isDefault = (await this.#defaults.get(old.runtime.name)) === old
    await this.#end(old, signal)
    const making = this.#make(old.runtime, id, old.info.cwd, isDefault, signal)
    const fresh = await (isDefault ? this.#setDefault(old.runtime.name, making) : making)
    await orAborted(fresh.begun, signal)
  }

  async delete(id: string, signal: AbortSignal): Promise<void> {
    await this.#end(this.#find(id), signal)
  }

  async interrupt(id: string, signal: AbortSignal): Promise<void> {
    await this.#find(id).context.interrupt(signal)
  }

  async run(raw: RunRequest, on: (event: RunEvent) => void, signal: AbortSignal): Promise<Execution> {
    const request = parseRun(raw)
    const live = request.contextId === undefined ? await this.#default(request.language, signal) : this.#find(request.contextId)
    const before = live.turn
    const running = orAborted(before, signal).then(() => this.#runIn(live, request, on, signal))
    live.turn = Promise.allSettled([before, running])
    return running
  }

  async #runIn(live: Live, request: RunRequest, on: (event: RunEvent) => void, signal: AbortSignal): Promise<Execution> {
    const { auditLog, plan, ending } = this.#parts
    const { code } = request
    const named = { context: live.info.id, language: live.info.language }
    auditLog.append({ kind: 'run', sandbox: plan.id, ...named, code, codeBytes: Buffer.byteLength(code) })
    const mark = ending.mark
    live.meter.reset()
    return this.#judged(live, await live.context.run(request, on, signal), mark)
  }

  /** What went wrong may have been a limit: the kernel's kill of a child, a full disk. */
  async #judged(live: Live, execution: Execution, mark: number): Promise<Execution> {
    const { ending } = this.#parts
    if (execution.limit === 'disk') await ending.hit('disk', 'no space or no inodes were left on the disk')
    if (live.meter.hit) return { ...execution, limit: 'output' }
    if (execution.limit !== undefined || (execution.error === undefined && (execution.exitCode ?? 0) === 0)) return execution
    const limit = await ending.hitSince(mark)
    return limit === undefined ? execution : { ...execution, limit }
  }

  async #default(language: string | undefined, signal: AbortSignal): Promise<Live> {
    const runtime = this.#runtime(language ?? DEFAULT_LANGUAGE)
    const known = this.#defaults.get(runtime.name)
    if (known !== undefined) return orAborted(known, signal)
    return orAborted(this.#setDefault(runtime.name, this.#make(runtime, newId('c'), undefined, true, freshDeadline(INIT_MS))), signal)
  }

  /** One that could not be made is forgotten: the next run tries again. */
  #setDefault(name: string, making: Promise<Live>): Promise<Live> {
    this.#defaults.set(name, making)
    making.catch(() => this.#defaults.get(name) === making && this.#defaults.delete(name))
    return making
  }

  async #make(runtime: Runtime, id: string, cwd: string | undefined, isDefault: boolean, signal: AbortSignal): Promise<Live> {
    const { agent, plan, env } = this.#parts
    const info = { id, language: runtime.name, cwd: cwd ?? plan.user.home }
    const pid = runtime.zygote ? await this.#fork(signal) : undefined
    if (pid !== undefined) return this.#attach(runtime, info, pid, isDefault)
    const { command, args } = runtime.start
    const metered = this.#metered()
    const start = { command, args, env: { ...env, ...runtime.start.env }, cwd: info.cwd }
    return this.#begin(runtime, info, await startProgram(agent, start, metered.options, signal), metered, isDefault)
  }

  /** Contexts of a host that is no more. What they were doing was for somebody who has gone with it. */
  #adopt(records: readonly ContextRecord[]): void {
    for (const { id, language, cwd, pid, isDefault } of records) {
      const runtime = runtimes().find(({ name }) => name === language)
      if (runtime === undefined) continue
      const metered = this.#metered()
      const program = attachProgram(this.#parts.agent, pid, metered.options, unending())
      const live = this.#hold(runtime, { id, language, cwd }, program, metered, { isDefault, isAdopted: true })
      if (isDefault) this.#defaults.set(language, Promise.resolve(live))
      program.signal(SIGINT, unending()).catch(() => undefined)
    }
  }

  #attach(runtime: Runtime, info: ContextInfo, pid: number, isDefault: boolean): Live {
    const metered = this.#metered()
    return this.#begin(runtime, info, attachProgram(this.#parts.agent, pid, metered.options, unending()), metered, isDefault)
  }

  /** How a program's output is counted and its end judged; `program` is told to it as soon as there is one. */
  #metered(): Metered {
    const { ending, plan } = this.#parts
    const metered: Metered = { program: undefined, meter: undefined as never, options: undefined as never }
    const stop = () => void metered.program?.signal(SIGKILL, unending()).catch(() => undefined)
    metered.meter = new OutputMeter(plan.limits.outputBytes, ending, stop)
    metered.options = { judge: ending.judge(), meter: metered.meter.count }
    return metered
  }

  #begin(runtime: Runtime, info: ContextInfo, program: Program, metered: Metered, isDefault: boolean): Live {
    const live = this.#hold(runtime, info, program, metered, { isDefault, isAdopted: false })
    live.begun = live.context.init({ cwd: info.cwd, env: this.#parts.env }, freshDeadline(INIT_MS))
    live.begun.catch(() => undefined)
    this.#parts.contextsChanged(this.records())
    return live
  }

  #hold(
    runtime: Runtime,
    info: ContextInfo,
    program: Program,
    metered: Metered,
    { isDefault, isAdopted }: { isDefault: boolean; isAdopted: boolean },
  ): Live {
    metered.program = program
    const context = new Context(program, runtime, info, isAdopted)
    const { meter } = metered
    const begun = Promise.resolve()
    const live: Live = { info, pid: program.pid, isDefault, runtime, program, context, meter, begun, turn: Promise.resolve() }
    this.#live.set(info.id, live)
    const forget = () => this.#forget(live)
    program.exit.then(forget, forget)
    return live
  }

  /** A warmed process in the sandbox; undefined when there is no zygote to be had. */
  async #fork(signal: AbortSignal): Promise<number | undefined> {
    for (let attempt = 0; this.#zygoteSocket !== null; attempt += 1) {
      try {
        const asked = { op: 'fork', socket: this.#zygoteSocket, count: 1 } as const
        const { pids } = await this.#parts.cell.ask(asked, AbortSignal.any([signal, freshDeadline(FORK_MS)]))
        const [pid] = Array.isArray(pids) ? (pids as unknown[]) : []
        if (typeof pid === 'number') return pid
        throw new Fault('LAUNCH_FAILED', 'the keeper forked nothing')
      } catch (failure) {
        if (!(failure instanceof Fault) || failure.code !== 'LAUNCH_FAILED') throw failure
        this.#zygoteSocket = attempt === 0 ? await this.#parts.freshZygote(signal) : null
      }
    }
    return undefined
  }

  #find(id: string): Live {
    const live = this.#live.get(id)
    if (live === undefined) throw new Fault('NOT_FOUND', `no context ${JSON.stringify(id)}`)
    return live
  }

  #runtime(language: string): Runtime {
    const wanted = languageOf(language)
    const runtime = runtimes().find(({ name }) => name === wanted)
    if (runtime === undefined) {
      const known = runtimes().map(({ name }) => name)
      throw new Fault('LANGUAGE_UNKNOWN', `no language ${JSON.stringify(language)}; there are: ${known.join(', ')}`)
    }
    if (this.#parts.template.languages.includes(runtime.name)) return runtime
    throw new Fault('LANGUAGE_UNAVAILABLE', `template ${this.#parts.template.name} has no ${runtime.name}`)
  }

  async #end(live: Live, signal: AbortSignal): Promise<void> {
    this.#forget(live)
    await live.context.close(signal)
  }

  #forget(live: Live): void {
    if (this.#live.get(live.info.id) === live) {
      this.#live.delete(live.info.id)
      this.#parts.contextsChanged(this.records())
    }
    const name = live.runtime.name
    const known = this.#defaults.get(name)
    known?.then(
      (current) => current === live && this.#defaults.get(name) === known && this.#defaults.delete(name),
      () => undefined,
    )
  }
}

function runtimes(): readonly Runtime[] {
  return Object.values(shelf)
}
