import {
  type ContextInfo,
  type Death,
  type Execution,
  Fault,
  type Files,
  type Held,
  type Process,
  type RunEvent,
  type RunRequest,
  type SandboxHappening,
  type SandboxMetrics,
  type StartRequest,
} from '@caisson/wire'
import { happeningsOf } from './happenings.ts'
import { Interpreter } from './interpreter.ts'
import { asRecord, number, wholeJson } from './json.ts'
import type { RemoteDoor } from './remote-door.ts'
import { RemoteFiles } from './remote-files.ts'
import { startRemotely } from './remote-process.ts'
import { PORT, type Visit } from './visit.ts'
import { deathOf } from './watching.ts'

/** A daemon's sandbox, by its id. It outlives this process. */
export class RemoteHeld implements Held {
  readonly id: string
  readonly door: RemoteDoor
  readonly files: Files
  readonly #domain: string
  readonly #visit: Visit
  readonly #interpreter: Interpreter
  #ended: Promise<Death> | undefined

  constructor(door: RemoteDoor, visit: Visit, domain: string) {
    this.id = visit.id
    this.door = door
    this.#domain = domain
    this.#visit = visit
    this.files = new RemoteFiles(visit)
    this.#interpreter = new Interpreter(visit)
  }

  /** Reading it keeps this process alive, and a connection to the daemon open, until the sandbox has ended. */
  get ended(): Promise<Death> {
    this.#ended ??= deathOf(this.#visit)
    return this.#ended
  }

  /** The name that reaches a server inside, where that name resolves. */
  hostOf(port: number): string {
    return `${port}-${this.id}.${this.#domain}`
  }

  async kill(signal: AbortSignal): Promise<Death> {
    try {
      await this.door.kill(this.id, signal)
    } catch (failure) {
      // The sandbox had already ended; the death record says how.
      if (!(failure instanceof Fault && (failure.code === 'NOT_FOUND' || failure.code === 'SANDBOX_GONE'))) throw failure
    }
    const { death } = await this.#visit.standing(signal)
    if (death === undefined)
      throw new Fault('CONFLICT', `sandbox ${this.id} has been killed, and its daemon still counts it among the living`)
    this.#ended ??= Promise.resolve(death)
    return death
  }

  start(request: StartRequest, signal: AbortSignal): Promise<Process> {
    return startRemotely(this.#visit, request, signal)
  }

  contexts(signal: AbortSignal): Promise<ContextInfo[]> {
    return this.#interpreter.contexts(signal)
  }

  createContext(request: { language: string; cwd?: string }, signal: AbortSignal): Promise<ContextInfo> {
    return this.#interpreter.createContext(request, signal)
  }

  restartContext(id: string, signal: AbortSignal): Promise<void> {
    return this.#interpreter.tell('restart', id, signal)
  }

  deleteContext(id: string, signal: AbortSignal): Promise<void> {
    return this.#interpreter.tell('delete', id, signal)
  }

  runCode(request: RunRequest, on: (event: RunEvent) => void | Promise<void>, signal: AbortSignal): Promise<Execution> {
    return this.#interpreter.run(request, on, signal)
  }

  interrupt(contextId: string, signal: AbortSignal): Promise<void> {
    return this.#interpreter.tell('interrupt', contextId, signal)
  }

  happenings(signal: AbortSignal): AsyncIterable<SandboxHappening> {
    return happeningsOf(this.#visit, signal)
  }

  async metrics(signal: AbortSignal): Promise<SandboxMetrics> {
    const what = 'metrics'
    const answer = await this.#visit.ask(PORT.agent, { method: 'GET', path: '/metrics' }, what, signal)
    const said = asRecord(await wholeJson(answer, what), what)
    return {
      memoryUsedBytes: number(said, 'mem_used') ?? 0,
      memoryTotalBytes: number(said, 'mem_total') ?? 0,
      memoryCacheBytes: number(said, 'mem_cache') ?? 0,
      diskUsedBytes: number(said, 'disk_used') ?? 0,
      diskTotalBytes: number(said, 'disk_total') ?? 0,
      cpuUsedUs: number(said, 'cpu_used_us') ?? 0,
      processes: number(said, 'processes') ?? 0,
    }
  }
}
