import { type ContextInfo, Fault, type Plan, within } from '@caisson/wire'
import type { AgentConnection } from '../agent/connection.ts'
import { attachProgram, findProcesses, type ProcessOptions, type Program, startProgram } from '../agent/process.ts'
import { freshDeadline, killNow, orAborted, unending } from '../lifetimes.ts'
import { Context } from '../runtimes/context.ts'
import type { Begun } from '../runtimes/control-lines.ts'
import type { Runtime } from '../runtimes/runtime.ts'
import type { Cell } from '../walls/wall.ts'
import type { Ending } from './ending.ts'
import { OutputMeter } from './output-meter.ts'
import { ACCOUNT_VARIABLES } from './plan.ts'

/** How long a program may take to be ready. */
export const INIT_MS = 60_000
const FORK_MS = 30_000
const SIGINT = 2

export interface InterpreterParts {
  plan: Plan
  cell: Cell
  agent: AgentConnection
  ending: Ending
  /** What every process inside starts with. */
  env: Record<string, string>
  /** After a fork failed: another zygote, or null. */
  freshZygote: (signal: AbortSignal) => Promise<string | null>
  /** Since when it has not been frozen; Infinity while it is. */
  awakeSinceMs: () => number
  /** With whatever else is of this sandbox. */
  begun: Begun
  /** Interpreters that are adopted have the chance of another sandbox's. */
  renews: boolean
}

/** The process behind a context. */
export interface Interpreter {
  readonly program: Program
  readonly context: Context
  readonly meter: OutputMeter
  /** Rejects when the program would not begin. */
  readonly begun: Promise<void>
}

interface Metered {
  options: ProcessOptions
  meter: OutputMeter
  program: Program | undefined
}

/** Where the processes behind contexts come from. */
export class Interpreters {
  readonly #parts: InterpreterParts
  #zygoteSocket: string | null
  readonly #telling: Promise<void>[] = []

  constructor(parts: InterpreterParts) {
    this.#parts = parts
    this.#zygoteSocket = parts.plan.zygote?.socket ?? null
  }

  /** Forked from the zygote where the language has one, else started. */
  async start(runtime: Runtime, info: ContextInfo, signal: AbortSignal): Promise<Interpreter> {
    const { agent, env } = this.#parts
    const pid = runtime.zygote ? await this.#fork(signal) : undefined
    if (pid !== undefined) return this.#begun(this.attach(runtime, info, pid))
    const { command, args, env: own } = runtime.start
    const metered = this.#metered()
    const start = { command, args, env: { ...env, ...own }, cwd: info.cwd }
    return this.#begun(this.#behind(runtime, info, await startProgram(agent, start, metered.options, signal), metered))
  }

  /** One that was forked into the sandbox, and is yet to begin. */
  attach(runtime: Runtime, info: ContextInfo, pid: number): Interpreter {
    const metered = this.#metered()
    return this.#behind(runtime, info, attachProgram(this.#parts.agent, pid, metered.options, unending()), metered)
  }

  /** It is told where it is, and with what. Rejects when the program would not begin. */
  async begin({ context }: Interpreter): Promise<void> {
    await context.init({ cwd: context.info.cwd, env: { ...ACCOUNT_VARIABLES, ...this.#parts.env } }, freshDeadline(INIT_MS))
  }

  /** One of a host that is no more. What it was doing was for somebody who has gone with that host. */
  adopt(runtime: Runtime, info: ContextInfo, pid: number): Interpreter {
    const metered = this.#metered()
    const program = attachProgram(this.#parts.agent, pid, metered.options, unending())
    metered.program = program
    program.signal(SIGINT, unending()).catch(() => undefined)
    const { awakeSinceMs, begun, renews } = this.#parts
    const context = new Context(program, runtime, info, { isAdopted: true, awakeSinceMs, begun })
    if (renews && runtime.renews === true) this.#telling.push(renewed(program, context))
    return { program, context, meter: metered.meter, begun: Promise.resolve() }
  }

  /** Resolves when those that would draw what others draw have been told otherwise, or have been ended. Nobody may know of the sandbox before that. */
  async told(signal: AbortSignal): Promise<void> {
    if (this.#telling.length === 0) return
    await orAborted(Promise.all(this.#telling), signal)
    // The agent takes one thing after the other: whoever comes after a host that dies now finds it done.
    await findProcesses(this.#parts.agent, signal)
  }

  /** How a program's output is counted and its end judged; `program` is told to it as soon as there is one. */
  #metered(): Metered {
    const { ending, plan } = this.#parts
    const metered: Metered = { program: undefined, meter: undefined as never, options: undefined as never }
    const stop = () => killNow(metered.program)
    metered.meter = new OutputMeter(plan.limits.outputBytes, ending, stop)
    metered.options = { judge: ending.judge(), meter: metered.meter.count }
    return metered
  }

  #behind(runtime: Runtime, info: ContextInfo, program: Program, metered: Metered): Interpreter {
    metered.program = program
    const { awakeSinceMs, begun } = this.#parts
    const context = new Context(program, runtime, info, { awakeSinceMs, begun })
    return { program, context, meter: metered.meter, begun: Promise.resolve() }
  }

  #begun(interpreter: Interpreter): Interpreter {
    const begun = this.begin(interpreter)
    begun.catch(() => undefined)
    return { ...interpreter, begun }
  }

  /** A warmed process in the sandbox; undefined when there is no zygote to be had. */
  async #fork(signal: AbortSignal): Promise<number | undefined> {
    for (let attempt = 0; this.#zygoteSocket !== null; attempt += 1) {
      try {
        const asked = { op: 'fork', socket: this.#zygoteSocket, count: 1 } as const
        const { pids } = await this.#parts.cell.ask(asked, within(FORK_MS, signal))
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
}

/** One that cannot be told would draw what its siblings draw. */
async function renewed(program: Program, context: Context): Promise<void> {
  try {
    await program.attached
    await context.renew(unending())
  } catch {
    killNow(program)
  }
}
