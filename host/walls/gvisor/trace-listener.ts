import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { within } from '@caisson/wire'

/** Starting to listen takes milliseconds, and all trace points have arrived when the engine has ended. */
const PATIENCE_MS = 30_000
/** Expected: the agent and a command that it starts, and one command whose arguments cannot be read (native/agent/src/hello.rs). */
const COMPLETE = { told: 2, unread: 1 }

/** A keeper that receives the trace points of a gVisor. Node does not support the kind of socket that gVisor uses. */
export class TraceListener implements AsyncDisposable {
  /** Flags for the engine's command line. */
  readonly flags: string[]
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly #why: string | undefined

  private constructor(child: ChildProcess, lines: AsyncIterator<string>, config: string, why: string | undefined) {
    this.#child = child
    this.#lines = lines
    this.#why = why
    this.flags = why === undefined ? [`--pod-init-config=${config}`] : []
  }

  /** Opens it in this folder. Never rejects: if it fails, `lacking` says why. */
  static async open(keeper: string, folder: string, signal: AbortSignal): Promise<TraceListener> {
    const child = spawn(keeper, ['try-trace', join(folder, 'trace')], { stdio: ['pipe', 'pipe', 'ignore'], env: {} })
    const failed = new Promise<string>((resolve) => child.once('error', ({ message }) => resolve(message)))
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const config = join(folder, 'trace.json')
    const first = await Promise.race([failed.then(() => undefined), nextOf(lines, signal)])
    if (first?.['trace_session'] === undefined) {
      return new TraceListener(child, lines, config, `nobody could listen: ${faultOf(first) ?? 'the keeper did not start'}`)
    }
    await writeFile(config, JSON.stringify(first))
    return new TraceListener(child, lines, config, undefined)
  }

  /** To be called when the engine has ended. Why its trace points do not cover all that ran; undefined: they do. */
  async lacking(signal: AbortSignal): Promise<string | undefined> {
    if (this.#why !== undefined) return this.#why
    // An engine that has not connected by now will not.
    this.#child.stdin?.end()
    const said = await nextOf(this.#lines, signal)
    const fault = faultOf(said)
    if (fault !== undefined) return fault
    const { told, unread } = said ?? {}
    if (told === COMPLETE.told && unread === COMPLETE.unread) return undefined
    return `of ${COMPLETE.told} commands it told ${String(told)}, and of ${COMPLETE.unread} that it cannot tell, ${String(unread)} were known`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'close')
    this.#child.kill('SIGKILL')
    await ended
  }
}

/** Undefined: no further line. */
async function nextOf(lines: AsyncIterator<string>, signal: AbortSignal): Promise<Record<string, unknown> | undefined> {
  const late = within(PATIENCE_MS, signal)
  const over = new Promise<undefined>((resolve) => late.addEventListener('abort', () => resolve(undefined), { once: true }))
  const line = await Promise.race([lines.next().then(({ value }) => value as string | undefined), over])
  return line === undefined ? undefined : JSON.parse(line)
}

function faultOf(said: Record<string, unknown> | undefined): string | undefined {
  if (said === undefined) return 'nothing was heard of it'
  return said['event'] === 'failed' ? String(said['message']) : undefined
}
