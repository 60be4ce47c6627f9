import {
  type CreateRequest,
  type Death,
  type Door,
  Fault,
  type Held,
  type Rich,
  type RunError,
  type SandboxHappening,
  type SandboxMetrics,
} from '@caisson/wire'
import { CodeResult } from './code-result.ts'
import { Commands } from './commands.ts'
import { type ContextRef, Contexts, contextId } from './contexts.ts'
import { acquireDaemon, acquireDoor, refuseEmbedded, unheld } from './embedded.ts'
import { SandboxFiles } from './files.ts'
import { present } from './present.ts'
import type { SandboxInfo } from './remote/info.ts'
import { type ListOptions, RemoteDoor, type Snapshot } from './remote/remote-door.ts'
import { RemoteHeld } from './remote/remote-held.ts'
import { signalOr } from './signals.ts'

/** An absent option takes the profile's value. `null` in a limit: explicitly unlimited. Times are milliseconds, sizes MiB. */
export interface SandboxOptions extends CreateRequest {
  signal?: AbortSignal
  /** Where sandboxes come from; absent: the daemon of CAISSON_URL, else this machine's daemon, else a host in this process. */
  door?: Door
}

interface Options {
  signal?: AbortSignal
}

export interface ConnectOptions extends Options {
  /** Minimum remaining lifetime, from now. */
  timeoutMs?: number
  door?: Door
}

export interface ListSandboxesOptions extends ListOptions, Options {
  door?: Door
}

export interface RunCodeOptions {
  /** python (default), javascript, typescript, bash, java, r; not together with `context`. */
  language?: string
  /** Absent: the default context of the language. */
  context?: ContextRef
  /** For this run only. */
  env?: Record<string, string>
  /** After this long the code is interrupted; the sandbox lives on. */
  timeoutMs?: number
  /** Run as a program rather than a cell: the name of its file (`-c` for none) and its arguments. `exitCode` then counts. */
  program?: { path: string; args: string[] }
  onStdout?: (text: string, atMs: number) => void
  onStderr?: (text: string, atMs: number) => void
  onResult?: (result: Rich) => void
  onError?: (error: RunError) => void
  signal?: AbortSignal
}

/**
 * One isolated computer. Hold it with `await using`, or call `kill`:
 *
 *     await using sbx = await Sandbox.create({ profile: 'code-interpreter' })
 *     const { text } = await sbx.runCode('6 * 7')
 *
 * Whatever the code inside does (an exception, an exit code, hitting a limit) is in the results. A rejection is always a Fault with a code of the catalogue,
 * and means that Caisson could not do what was asked.
 */
export class Sandbox implements AsyncDisposable {
  readonly id: string
  readonly metadata: Readonly<Record<string, string>>
  readonly commands: Commands
  readonly files: SandboxFiles
  readonly contexts: Contexts
  readonly #held: Held
  readonly #released: Promise<void>

  private constructor(held: Held, released: Promise<void>, metadata: Record<string, string>) {
    this.id = held.id
    this.metadata = Object.freeze({ ...metadata })
    this.commands = new Commands(held)
    this.files = new SandboxFiles(held)
    this.contexts = new Contexts(held)
    this.#held = held
    this.#released = released
    // The rejection reaches callers of kill(). A sandbox that ends by itself has no caller to tell.
    this.#released.catch(() => undefined)
  }

  static async create(options: SandboxOptions = {}): Promise<Sandbox> {
    const { signal: given, door: own, ...request } = options
    const signal = signalOr(given)
    const door = own === undefined ? await acquireDoor(signal) : unheld(own)
    try {
      const held = await door.door.create(present(request), signal)
      return new Sandbox(held, door.releaseWith(held), request.metadata ?? {})
    } catch (error) {
      await door.release()
      throw error
    }
  }

  /** Attaches to a daemon's running sandbox by its id, without changing its timeout. Rejects with CONFLICT if it is paused. */
  static async attach(id: string, options: Options & { door?: Door } = {}): Promise<Sandbox> {
    const signal = signalOr(options.signal)
    const daemon = await daemonOf(options.door, 'working in a sandbox by its id', signal)
    const { held, info } = await daemon.attach(id, signal)
    return new Sandbox(held, Promise.resolve(), info.metadata)
  }

  /** Connects to a daemon's sandbox by its id. A paused one is resumed; the timeout of a running one is extended, never shortened. */
  static async connect(id: string, options: ConnectOptions = {}): Promise<Sandbox> {
    const signal = signalOr(options.signal)
    const daemon = await daemonOf(options.door, 'connecting to a sandbox', signal)
    const held = await daemon.connect(id, { timeoutMs: options.timeoutMs }, signal)
    const { metadata } = await daemon.info(id, signal)
    return new Sandbox(held, Promise.resolve(), metadata)
  }

  /** A daemon's sandboxes that belong to the key's owner, running and paused, newest first. */
  static async *list(options: ListSandboxesOptions = {}): AsyncGenerator<SandboxInfo> {
    const { signal: given, door, ...wished } = options
    const signal = signalOr(given)
    yield* (await daemonOf(door, 'listing sandboxes', signal)).list(wished, signal)
  }

  /** Resolves, never rejects, when the sandbox has ended and nothing of it is left behind. */
  get ended(): Promise<Death> {
    return this.#held.ended
  }

  /** Runs code in a context that keeps its state. Rejects only if the run could not take place. */
  async runCode(code: string, options: RunCodeOptions = {}): Promise<CodeResult> {
    const { context, signal, onStdout, onStderr, onResult, onError, ...rest } = options
    if (context !== undefined && rest.language !== undefined) {
      throw new Fault('BAD_REQUEST', 'language and context are both given', { hint: 'A context has its language already: leave one out.' })
    }
    const request = { ...present(rest), ...(context === undefined ? {} : { contextId: contextId(context) }), code }
    const execution = await this.#held.runCode(
      request,
      (event) => {
        if (event.type === 'result') onResult?.(event.result)
        else if (event.type === 'error') onError?.(event.error)
        else if (event.type === 'stdout') onStdout?.(event.text, event.atMs)
        else if (event.type === 'stderr') onStderr?.(event.text, event.atMs)
      },
      signalOr(signal),
    )
    return new CodeResult(execution)
  }

  /** Like Ctrl-C, in one context or in all of them. */
  async interrupt(options: { context?: ContextRef; signal?: AbortSignal } = {}): Promise<void> {
    const signal = signalOr(options.signal)
    if (options.context !== undefined) return await this.#held.interrupt(contextId(options.context), signal)
    const contexts = await this.#held.contexts(signal)
    await Promise.all(contexts.map((context) => this.#held.interrupt(context.id, signal)))
  }

  /**
   * Events from now on: each denied network access, with the rule that would allow it, and changes of state. Ends with the sandbox or the signal.
   *
   *     for await (const event of sandbox.events()) if (event.kind === 'denied') console.log(event.host, event.wouldAllow)
   */
  async *events(options: Options = {}): AsyncGenerator<SandboxHappening> {
    yield* this.#held.happenings(signalOr(options.signal))
  }

  async metrics(options: { signal?: AbortSignal } = {}): Promise<SandboxMetrics> {
    return await this.#held.metrics(signalOr(options.signal))
  }

  /** Its current state, and its deadline. */
  async getInfo(options: Options = {}): Promise<SandboxInfo> {
    return await this.#remote('getInfo').door.info(this.id, signalOr(options.signal))
  }

  /** Moves its deadline to `timeoutMs` from now, which may also shorten it. The daemon counts in whole seconds. */
  async setTimeout(timeoutMs: number, options: Options = {}): Promise<void> {
    await this.#remote('setTimeout').door.setTimeout(this.id, timeoutMs, signalOr(options.signal))
  }

  /** Pauses it until somebody connects to it (`Sandbox.connect`, `resume`). Pausing a paused one is not an error. */
  async pause(options: Options = {}): Promise<void> {
    const signal = signalOr(options.signal)
    const { door } = this.#remote('pause')
    try {
      await door.pause(this.id, signal)
    } catch (error) {
      if (!(error instanceof Fault && error.code === 'CONFLICT')) throw error
      if ((await door.info(this.id, signal)).state !== 'paused') throw error
    }
  }

  async resume(options: Options & { timeoutMs?: number } = {}): Promise<void> {
    await this.#remote('resume').door.connect(this.id, { timeoutMs: options.timeoutMs }, signalOr(options.signal))
  }

  /**
   * Saves its current state, to create others from: `Sandbox.create({ template: snapshot.id })`. It continues running. Memory is included where its wall can do
   * that (`microvm`); elsewhere only files. `memory: false`: files only. `memory: true`: rejects with UNSUPPORTED where memory cannot be saved.
   */
  async snapshot({ name, memory, signal }: Options & { name?: string; memory?: boolean } = {}): Promise<Snapshot> {
    return await this.#remote('snapshot').door.snapshot(this.id, { name, memory }, signalOr(signal))
  }

  /** Copies of its current state, independent of it and of each other. All or none. `memory`: as for a snapshot. */
  async fork(options: Options & { count?: number; timeoutMs?: number; memory?: boolean } = {}): Promise<Sandbox[]> {
    const { count = 1, timeoutMs, memory, signal } = options
    const forks = await this.#remote('fork').door.fork(this.id, { count, timeoutMs, memory }, signalOr(signal))
    return forks.map((held) => new Sandbox(held, Promise.resolve(), this.metadata))
  }

  /** `PORT-ID.DOMAIN`: the name that reaches a server inside through the daemon, where it resolves. */
  getHost(port: number): string {
    return this.#remote('getHost').hostOf(port)
  }

  /** Ends the sandbox and waits until nothing of it is left. Returns why it ended, even if it had ended before. */
  async kill(options: Options = {}): Promise<Death> {
    try {
      await this.#held.kill(signalOr(options.signal))
    } catch (error) {
      if (!(error instanceof Fault && error.code === 'SANDBOX_GONE')) throw error
    }
    await this.#released
    return await this.ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }

  #remote(what: string): RemoteHeld {
    return this.#held instanceof RemoteHeld ? this.#held : refuseEmbedded(what)
  }
}

async function daemonOf(door: Door | undefined, what: string, signal: AbortSignal): Promise<RemoteDoor> {
  if (door === undefined) return await acquireDaemon(what, signal)
  return door instanceof RemoteDoor ? door : refuseEmbedded(what)
}
