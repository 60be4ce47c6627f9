import type { Duplex } from 'node:stream'
import { isDeepStrictEqual } from 'node:util'
import type {
  ContextInfo,
  Death,
  Execution,
  Held,
  Plan,
  Process,
  RunRequest,
  SandboxHappening,
  SandboxMetrics,
  StartRequest,
} from '@caisson/wire'
import type { AgentConnection } from '../agent/connection.ts'
import { type DialOptions, dial } from '../agent/dial.ts'
import { AgentFiles } from '../agent/files.ts'
import { agentMetrics } from '../agent/metrics.ts'
import { attachCommand, type Command, findProcesses, type ProcessOptions, startCommand } from '../agent/process.ts'
import type { Trust } from '../airlock/exits.ts'
import type { Size } from '../audit/log.ts'
import { killNow, orAborted } from '../lifetimes.ts'
import { Begun } from '../runtimes/control-lines.ts'
import type { Listener } from '../runtimes/run.ts'
import type { Cell } from '../walls/wall.ts'
import { aborted, Contexts } from './contexts.ts'
import { Ending, endOf, gone } from './ending.ts'
import { refusedRun } from './examination.ts'
import { GuardedFiles } from './guarded-files.ts'
import { happeningsOf } from './happenings.ts'
import { bringTrust, LATE_VARIABLES } from './late-trust.ts'
import type { Belonging, LifeParts } from './life-parts.ts'
import { OutputMeter } from './output-meter.ts'
import { Processes } from './processes.ts'
import type { ContextRecord } from './record.ts'
import { recordedTerminal } from './recorded-terminal.ts'
import { parseStart, refuseLarge } from './request.ts'
import { withTimeout } from './time-limit.ts'

const USUAL_SIZE: Size = { columns: 80, rows: 24 }

/** One sandbox, from the moment its wall stands. */
export class LiveSandbox implements Held {
  readonly id: string
  readonly ended: Promise<Death>
  readonly files: GuardedFiles
  /** Commands that people may come back to. */
  readonly processes: Processes
  #parts: LifeParts
  readonly #agent: AgentConnection
  readonly #ending: Ending
  readonly #contexts: Contexts
  readonly #begun: Begun
  /** What is heard of it, and is not any more once it was let go of: another life may be over the same cell, and many after that. */
  readonly #deaf: (() => void)[] = []
  #isReleased = false
  #begunWith: Readonly<Record<string, string>> | undefined
  /** For contexts that began without. */
  #late: Readonly<Record<string, string>> = {}
  readonly #recordedOfTerminals = { bytes: 0 }
  #awakeSinceMs = 0

  constructor(parts: LifeParts) {
    const { plan, cell } = parts
    this.#parts = parts
    this.#begun = new Begun(parts.owner)
    if (parts.trustsLate) this.#trustLate()
    this.id = plan.id
    const { ended, stop } = endOf(cell, parts.afterDeath)
    this.ended = ended
    this.#ending = new Ending(cell, plan.limits)
    this.#agent = parts.agent
    this.files = new GuardedFiles(new AgentFiles(this.#agent), this, (act, path, to) => {
      parts.auditLog.append({ kind: 'file', sandbox: this.id, act, path, to })
    })
    this.processes = new Processes({
      start: (request, signal) => this.start(request, signal),
      find: (signal) => this.guard(() => findProcesses(this.#agent, signal)),
      attach: (found, signal) =>
        this.guard(() => {
          const begin = () => this.#metered((options) => attachCommand(this.#agent, found, options, signal))
          // How large it is now is not known.
          return found.pty ? this.#onTerminal(USUAL_SIZE, parts.env, begin) : begin()
        }),
    })
    this.#contexts = new Contexts({ ...parts, ending: this.#ending, awakeSinceMs: () => this.#awakeSinceMs, begun: this.#begun })
    const freezes = () => {
      this.#awakeSinceMs = Number.POSITIVE_INFINITY
    }
    this.#deaf.push(
      stop,
      cell.onFrozen(freezes),
      cell.onDeath(() => this.#agent.close()),
    )
    // Without its agent a sandbox can do nothing for anyone: whatever the reason, it ends.
    void this.#agent.lost.then((failure) => {
      if (!this.#isReleased) void this.#ending.explain(failure)
    })
  }

  /** The interpreter that it came with is told where it is, and with what. */
  begin(): void {
    this.#begunWith = { ...this.#parts.env }
    this.#contexts.begin()
  }

  /** It waited for somebody, and nothing was asked of it so far. */
  giveTo(owner: Belonging): void {
    // All that start processes have this one.
    const env = Object.assign(this.#parts.env, owner.env)
    this.#parts = { ...this.#parts, ...owner, env }
    this.#begun.belongTo(owner.owner)
    if (!isDeepStrictEqual(env, this.#begunWith)) this.begin()
  }

  get plan(): Plan {
    return this.#parts.plan
  }

  /** Whether it is to end with this host. */
  get leashed(): boolean {
    return this.plan.leash === 'host'
  }

  /** Undefined while it lives. */
  get death(): Death | undefined {
    return this.#ending.death
  }

  /** By force where its keeper does not do it. Rejects when the signal aborts; the sandbox ends all the same. */
  async kill(signal: AbortSignal): Promise<Death> {
    return this.death ?? (await orAborted(this.#ending.force('kill', 'on request'), signal))
  }

  /** What a daemon asks of its keeper: freeze, thaw, deadline, copyDisk. */
  ask(request: Parameters<Cell['ask']>[0], signal: AbortSignal): Promise<Record<string, unknown>> {
    return this.guard(async () => {
      const before = this.#awakeSinceMs
      if (request.op === 'freeze') this.#awakeSinceMs = Number.POSITIVE_INFINITY
      try {
        const answer = await this.#parts.cell.ask(request, signal)
        if (request.op === 'thaw') this.#awakeSinceMs = Date.now()
        return answer
      } catch (failure) {
        if (request.op === 'freeze') this.#awakeSinceMs = before
        throw failure
      }
    })
  }

  /** Ends its processes and keeps its disk at that path of the host. Rejects when the signal aborts; what its keeper was told stays told. */
  stop(keepDisk: string, signal: AbortSignal): Promise<Death> {
    return this.#ending.keep(keepDisk, signal)
  }

  /** Its time was over, and its plan says that it freezes then. */
  onFrozen(listener: () => void): void {
    this.#deaf.push(this.#parts.cell.onFrozen(listener))
  }

  /** Resolves when nothing in it has another's chance any more. */
  told(signal: AbortSignal): Promise<void> {
    return this.guard(() => this.#contexts.told(signal))
  }

  contextRecords(): ContextRecord[] {
    return this.#contexts.records()
  }

  /** Nothing is asked of it here any more; whoever has its cell may. */
  letGo(): Cell {
    this.#isReleased = true
    for (const stop of this.#deaf.splice(0)) stop()
    this.#ending.letGo()
    this.#agent.close()
    return this.#parts.cell
  }

  /** Lets go of a sandbox that is to live on. */
  release(): void {
    this.#isReleased = true
    this.#agent.close()
    this.#parts.cell.release()
  }

  start(raw: StartRequest, signal: AbortSignal): Promise<Process> {
    return this.guard(async () => {
      const request = { ...(this.plan.cwd === undefined ? {} : { cwd: this.plan.cwd }), ...parseStart(raw) }
      const { command, args = [], user = '', cwd = '', timeoutMs } = request
      const { auditLog, env, examination } = this.#parts
      const whole = refuseLarge({ ...request, env: { ...env, ...request.env } })
      await examination.command(command, args, signal)
      auditLog.append({ kind: 'command', sandbox: this.id, command, args, user, cwd }, whole.env)
      const begin = () => this.#metered((options) => startCommand(this.#agent, whole, options, signal))
      const started = request.pty === undefined ? await begin() : await this.#onTerminal(request.pty, whole.env, begin)
      return timeoutMs === undefined ? started : withTimeout(started, timeoutMs)
    })
  }

  /** With what it shows recorded, if that is wanted. */
  async #onTerminal(size: Size, env: Record<string, string>, begin: () => Promise<Process>): Promise<Process> {
    const shown = { columns: size.columns || USUAL_SIZE.columns, rows: size.rows || USUAL_SIZE.rows }
    const session = this.#parts.auditLog.terminals.begin(this.id, shown, env, this.#recordedOfTerminals)
    if (session === undefined) return await begin()
    try {
      return recordedTerminal(await begin(), session)
    } catch (failure) {
      session.recording.end()
      throw failure
    }
  }

  /** A command whose output counts, and whose end is judged by the limits. */
  async #metered(begin: (options: ProcessOptions) => Promise<Command>): Promise<Command> {
    let command: Command | undefined
    const meter = new OutputMeter(this.#parts.plan.limits.outputBytes, this.#ending, () => killNow(command))
    command = await begin({ judge: meter.judge(this.#ending.judge()), meter: meter.count })
    return command
  }

  /** From now on, what starts inside trusts what looks into its connections. */
  async bringTrust(trust: Trust, signal: AbortSignal): Promise<void> {
    await bringTrust(this.files, trust, signal)
    this.#trustLate()
  }

  #trustLate(): void {
    const { env } = this.#parts
    // What whoever made it has said of the same stays.
    this.#late = Object.fromEntries(Object.entries(LATE_VARIABLES).filter(([name]) => env[name] === undefined))
    Object.assign(env, this.#late)
  }

  contexts(_signal: AbortSignal): Promise<ContextInfo[]> {
    return this.guard(async () => this.#contexts.list())
  }

  createContext(request: { language: string; cwd?: string }, signal: AbortSignal): Promise<ContextInfo> {
    return this.guard(() => this.#contexts.create(request, signal))
  }

  restartContext(id: string, signal: AbortSignal): Promise<void> {
    return this.guard(() => this.#contexts.restart(id, signal))
  }

  deleteContext(id: string, signal: AbortSignal): Promise<void> {
    return this.guard(() => this.#contexts.delete(id, signal))
  }

  runCode(request: RunRequest, on: Listener, signal: AbortSignal): Promise<Execution> {
    return this.guard(async () => {
      const judged = await this.#parts.examination.code(this.#contexts.languageOf(request), request.code, signal)
      if (judged.isRefused) return aborted(refusedRun(judged), on)
      for (const line of judged.lines) await on({ type: 'stderr', text: `caisson: scan: ${line}\n`, atMs: Date.now() })
      return await this.#contexts.run({ ...request, env: { ...this.#late, ...request.env } }, on, signal)
    })
  }

  interrupt(contextId: string, signal: AbortSignal): Promise<void> {
    return this.guard(() => this.#contexts.interrupt(contextId, signal))
  }

  happenings(signal: AbortSignal): AsyncIterable<SandboxHappening> {
    return happeningsOf(this, this.#parts.denials, signal)
  }

  metrics(signal: AbortSignal): Promise<SandboxMetrics> {
    return this.guard(async () => {
      const { memoryBytes } = this.#parts.plan.limits
      const [metrics, { cacheBytes }] = await Promise.all([
        agentMetrics(this.#agent, signal),
        this.#parts.cell.ask({ op: 'stats' }, signal),
      ])
      // The agent cannot see its own limits, nor what the kernel counts for it.
      const memoryCacheBytes = typeof cacheBytes === 'number' ? cacheBytes : 0
      return { ...metrics, memoryTotalBytes: memoryBytes ?? metrics.memoryTotalBytes, memoryCacheBytes }
    })
  }

  /** A connection to a server inside. Rejects with NOT_FOUND when nothing listens there. */
  dial(port: number, options: DialOptions, signal: AbortSignal): Promise<Duplex> {
    return this.guard(() => dial(this.#agent, port, options, signal))
  }

  /** A call of a sandbox that has ended, or ends meanwhile, fails with the reason of the end. */
  async guard<T>(call: () => Promise<T>): Promise<T> {
    this.#ending.refuseDead()
    try {
      return await call()
    } catch (failure) {
      if (this.#agent.failure === undefined || failure !== this.#agent.failure) throw failure
      throw gone(await this.#ending.explain(this.#agent.failure), failure)
    }
  }
}
