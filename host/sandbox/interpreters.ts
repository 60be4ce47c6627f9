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

/** Time limit for a runtime program to become ready. */
export const INIT_MS = 60_000
const FORK_MS = 30_000
const SIGINT = 2

export interface InterpreterParts {
  plan: Plan
  cell: Cell
  agent: AgentConnection
  ending: Ending
  /** Environment of every process inside. */
  env: Record<string, string>
  /** Called after a failed fork. Resolves to the socket of a new zygote, or null. */
  freshZygote: (signal: AbortSignal) => Promise<string | null>
  /** Since when the sandbox has not been frozen; Infinity while it is frozen. */
  awakeSinceMs: () => number
  /** Shared with everything else of this sandbox. */
  begun: Begun
  /** Adopted interpreters continue another sandbox's memory, so their random number generators must be reseeded. */
  renews: boolean
}

/** The process behind a context. */
export interface Interpreter {
  readonly program: Program
  readonly context: Context
  readonly meter: OutputMeter
  /** Rejects when the program does not start up. */
  readonly begun: Promise<void>
}

interface Metered {
  options: ProcessOptions
  meter: OutputMeter
  program: Program | undefined
}

/** Starts, forks and adopts the processes behind contexts. */
export class Interpreters {
  readonly #parts: InterpreterParts
  #zygoteSocket: string | null
  readonly #telling: Promise<void>[] = []

  constructor(parts: InterpreterParts) {
    this.#parts = parts
    this.#zygoteSocket = parts.plan.zygote?.socket ?? null
  }

  /** Forked from the zygote if the language has one, else started. */
  async start(runtime: Runtime, info: ContextInfo, signal: AbortSignal): Promise<Interpreter> {
    const { agent, env } = this.#parts
    const pid = runtime.zygote ? await this.#fork(signal) : undefined
    if (pid !== undefined) return this.#begun(this.attach(runtime, info, pid))
    const { command, args, env: own } = runtime.start
    const metered = this.#metered()
    const start = { command, args, env: { ...env, ...own }, cwd: info.cwd }
    return this.#begun(this.#behind(runtime, info, await startProgram(agent, start, metered.options, signal), metered))
  }

  /** Attaches an interpreter that was forked into the sandbox and has not begun yet. */
  attach(runtime: Runtime, info: ContextInfo, pid: number): Interpreter {
    const metered = this.#metered()
    return this.#behind(runtime, info, attachProgram(this.#parts.agent, pid, metered.options, unending()), metered)
  }

  /** Sends the program its folder and environment. Rejects when it does not start up. */
  async begin({ context }: Interpreter): Promise<void> {
    await context.init({ cwd: context.info.cwd, env: { ...ACCOUNT_VARIABLES, ...this.#parts.env } }, freshDeadline(INIT_MS))
  }

  /** Adopts an interpreter of an earlier host, and interrupts it: the client of its current run went away with that host. */
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

  /** Resolves when every interpreter that shares another's random state has been reseeded or killed. The sandbox must not be announced before that. */
  async told(signal: AbortSignal): Promise<void> {
    if (this.#telling.length === 0) return
    await orAborted(Promise.all(this.#telling), signal)
    // The agent handles requests in order, so by its answer the reseeding has reached it, even if this host dies now.
    await findProcesses(this.#parts.agent, signal)
  }

  /** Counts a program's output and judges its end. `program` is set as soon as it exists. */
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

  /** Forks a warm interpreter into the sandbox; undefined when no zygote is available. */
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

/** Kills a program that cannot be reseeded: it would draw the same random numbers as its siblings. */
async function renewed(program: Program, context: Context): Promise<void> {
  try {
    await program.attached
    await context.renew(unending())
  } catch {
    killNow(program)
  }
}
