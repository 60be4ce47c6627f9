import { type CreateRequest, type Death, type Door, Fault, type Held, type Rich, type RunError, type SandboxMetrics } from '@caisson/wire'
import { CodeResult } from './code-result.ts'
import { Commands } from './commands.ts'
import { type ContextRef, Contexts, contextId } from './contexts.ts'
import { acquireDoor, type HeldDoor } from './embedded.ts'
import { SandboxFiles } from './files.ts'
import { present } from './present.ts'
import { signalOr } from './signals.ts'

/** Absent: as the profile says. `null` in a limit: not limited, and said so. Times are milliseconds, sizes MiB. */
export interface SandboxOptions extends CreateRequest {
  signal?: AbortSignal
  /** Where sandboxes come from; absent: a host in this process. */
  door?: Door
}

export interface RunCodeOptions {
  /** python (default), javascript, typescript, bash; not together with `context`. */
  language?: string
  /** Absent: the default context of the language. */
  context?: ContextRef
  /** For this run only. */
  env?: Record<string, string>
  /** The code is interrupted after this long; the sandbox lives on. */
  timeoutMs?: number
  /** Run as a program rather than a cell: the name of the file it came from (`-c` for none), and its arguments. `exitCode` then counts. */
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
 * What the code inside does (an exception, an exit code, a limit it hits) is in the results; a rejection is always a Fault with a code
 * of the catalogue, and means that Caisson could not do what was asked.
 */
export class Sandbox implements AsyncDisposable {
  readonly id: string
  readonly metadata: Readonly<Record<string, string>>
  readonly commands: Commands
  readonly files: SandboxFiles
  readonly contexts: Contexts
  /** Resolves, never rejects, when the sandbox has ended and nothing of it is left. */
  readonly ended: Promise<Death>
  readonly #held: Held
  readonly #released: Promise<void>
  #death: Death | undefined

  private constructor(held: Held, door: HeldDoor, metadata: Record<string, string>) {
    this.id = held.id
    this.metadata = Object.freeze({ ...metadata })
    this.commands = new Commands(held)
    this.files = new SandboxFiles(held)
    this.contexts = new Contexts(held)
    this.ended = held.ended
    this.#held = held
    this.#released = held.ended.then(async (death) => {
      this.#death = death
      await door.release()
    })
    // Delivered to whoever awaits kill(); a sandbox that ends by itself has nobody to tell.
    this.#released.catch(() => undefined)
  }

  static async create(options: SandboxOptions = {}): Promise<Sandbox> {
    const { signal: given, door: own, ...request } = options
    const signal = signalOr(given)
    const door = own === undefined ? await acquireDoor(signal) : { door: own, release: async () => undefined }
    try {
      const held = await door.door.create(present(request), signal)
      return new Sandbox(held, door, request.metadata ?? {})
    } catch (error) {
      await door.release()
      throw error
    }
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

  /** Like Ctrl-C in one context, or in all of them. */
  async interrupt(options: { context?: ContextRef; signal?: AbortSignal } = {}): Promise<void> {
    const signal = signalOr(options.signal)
    if (options.context !== undefined) return await this.#held.interrupt(contextId(options.context), signal)
    const contexts = await this.#held.contexts(signal)
    await Promise.all(contexts.map((context) => this.#held.interrupt(context.id, signal)))
  }

  async metrics(options: { signal?: AbortSignal } = {}): Promise<SandboxMetrics> {
    return await this.#held.metrics(signalOr(options.signal))
  }

  /** Ends the sandbox and waits until nothing of it is left. Says why it ended, also when it had ended before. */
  async kill(options: { signal?: AbortSignal } = {}): Promise<Death> {
    if (this.#death === undefined) {
      try {
        await this.#held.kill(signalOr(options.signal))
      } catch (error) {
        if (!(error instanceof Fault && error.code === 'SANDBOX_GONE')) throw error
      }
    }
    await this.#released
    return await this.ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}
