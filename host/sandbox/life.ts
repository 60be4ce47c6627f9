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
  /** Commands that clients may reconnect to. */
  readonly processes: Processes
  #parts: LifeParts
  readonly #agent: AgentConnection
  readonly #ending: Ending
  readonly #contexts: Contexts
  readonly #begun: Begun
  /** Unsubscribes from the cell's events. Called when the sandbox is let go, because other LiveSandbox objects may use the same cell after that. */
  readonly #deaf: (() => void)[] = []
  #isReleased = false
  #begunWith: Readonly<Record<string, string>> | undefined
  /** Environment for contexts that began without it. */
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
          // The terminal's current size is not known.
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
    // Without its agent a sandbox is useless, so it ends, whatever the cause.
    void this.#agent.lost.then((failure) => {
      if (!this.#isReleased) void this.#ending.explain(failure)
    })
  }

  /** Initialises the warm interpreter with its folder and environment. */
  begin(): void {
    this.#begunWith = { ...this.#parts.env }
    this.#contexts.begin()
  }

  /** Gives a pooled sandbox, which nothing has been asked of yet, to its owner. */
  giveTo(owner: Belonging): void {
    // Everything that starts processes holds this same object.
    const env = Object.assign(this.#parts.env, owner.env)
    this.#parts = { ...this.#parts, ...owner, env }
    this.#begun.belongTo(owner.owner)
    if (!isDeepStrictEqual(env, this.#begunWith)) this.begin()
  }

  get plan(): Plan {
    return this.#parts.plan
  }

  /** Whether it ends with this host. */
  get leashed(): boolean {
    return this.plan.leash === 'host'
  }

  /** Undefined while it lives. */
  get death(): Death | undefined {
    return this.#ending.death
  }

  /** Ends it, by force if its keeper fails to. Rejects when the signal aborts; the sandbox ends all the same. */
  async kill(signal: AbortSignal): Promise<Death> {
    return this.death ?? (await orAborted(this.#ending.force('kill', 'on request'), signal))
  }

  /** A daemon's requests to the keeper: freeze, thaw, deadline, copyDisk. */
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

  /** Ends its processes and keeps its disk at that host path. Rejects when the signal aborts; the keeper carries the order out all the same. */
  stop(keepDisk: string, signal: AbortSignal): Promise<Death> {
    return this.#ending.keep(keepDisk, signal)
  }

  /** Called when its time is over and its plan says to freeze then. */
  onFrozen(listener: () => void): void {
    this.#deaf.push(this.#parts.cell.onFrozen(listener))
  }

  /** Resolves when no interpreter shares another sandbox's random state any more. */
  told(signal: AbortSignal): Promise<void> {
    return this.guard(() => this.#contexts.told(signal))
  }

  contextRecords(): ContextRecord[] {
    return this.#contexts.records()
  }

  /** Hands its cell over. This object makes no further requests. */
  letGo(): Cell {
    this.#isReleased = true
    for (const stop of this.#deaf.splice(0)) stop()
    this.#ending.letGo()
    this.#agent.close()
    return this.#parts.cell
  }

  /** Disconnects from a sandbox that outlives this process. */
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

  /** Starts a process on a terminal, and records what it shows if that is configured. */
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

  /** A command whose output is counted, and whose end is judged by the limits. */
  async #metered(begin: (options: ProcessOptions) => Promise<Command>): Promise<Command> {
    let command: Command | undefined
    const meter = new OutputMeter(this.#parts.plan.limits.outputBytes, this.#ending, () => killNow(command))
    command = await begin({ judge: meter.judge(this.#ending.judge()), meter: meter.count })
    return command
  }

  /** From now on, new processes inside trust the certificate authority of the inspecting gate. */
  async bringTrust(trust: Trust, signal: AbortSignal): Promise<void> {
    await bringTrust(this.files, trust, signal)
    this.#trustLate()
  }

  #trustLate(): void {
    const { env } = this.#parts
    // Variables that the creator of the sandbox has set are kept.
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
      // The agent sees neither its own limits nor the kernel's cache accounting.
      const memoryCacheBytes = typeof cacheBytes === 'number' ? cacheBytes : 0
      return { ...metrics, memoryTotalBytes: memoryBytes ?? metrics.memoryTotalBytes, memoryCacheBytes }
    })
  }

  /** A connection to a server inside. Rejects with NOT_FOUND when nothing listens there. */
  dial(port: number, options: DialOptions, signal: AbortSignal): Promise<Duplex> {
    return this.guard(() => dial(this.#agent, port, options, signal))
  }

  /** A call fails with the reason of the sandbox's end if the sandbox has ended, or ends during the call. */
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
