import { constants } from 'node:os'
import { Fault, type Output, type Process } from '@caisson/wire'
import type { CommandResult } from './commands.ts'
import { present } from './present.ts'
import { onAbort, signalOr } from './signals.ts'

/** These callbacks receive each piece of text as it arrives; with one, the command is read from the start. */
export interface CommandOptions {
  onStdout?: (text: string) => void
  onStderr?: (text: string) => void
  onPty?: (bytes: Uint8Array) => void
}

/** A command while it runs. */
export class RunningCommand {
  /** Its pid inside the sandbox. */
  readonly pid: number
  readonly #process: Process
  readonly #options: CommandOptions
  readonly #signal: AbortSignal
  #outputTaken = false
  #result: Promise<CommandResult> | undefined

  constructor(process: Process, options: CommandOptions, signal: AbortSignal) {
    this.pid = process.pid
    this.#process = process
    this.#options = options
    this.#signal = signal
    this.#killOnAbort()
    if (Object.keys(options).length > 0) {
      // A caller that only listens need not call wait(). Its own callers still get the rejection.
      this.wait().catch(() => undefined)
    }
  }

  /** All of its output, in order. Take it once, before `wait`; what is read here is missing from the result of `wait`. */
  get output(): AsyncIterable<Output> {
    if (this.#outputTaken || this.#result !== undefined) {
      throw new Fault('BAD_REQUEST', 'the output of this command is already being read', {
        hint: 'Take `output` once, before `wait`, and without onStdout, onStderr and onPty.',
      })
    }
    this.#outputTaken = true
    return this.#process.output
  }

  /** Resolves when it has ended and all of its output is read. */
  wait(): Promise<CommandResult> {
    this.#result ??= this.#finish()
    return this.#result
  }

  /** Sends a signal, SIGKILL by default. */
  async kill(name: NodeJS.Signals = 'SIGKILL', options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.#process.signal(constants.signals[name], signalOr(options.signal))
  }

  async sendStdin(data: string | Uint8Array, options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.#process.write(typeof data === 'string' ? new TextEncoder().encode(data) : data, signalOr(options.signal))
  }

  async closeStdin(options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.#process.closeStdin(signalOr(options.signal))
  }

  async resize(size: { columns: number; rows: number }, options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.#process.resize(size, signalOr(options.signal))
  }

  /** Writes all of standard input and closes it. A command that ends without reading all of it is not an error. */
  async feed(data: string | Uint8Array, finished: Promise<unknown>): Promise<void> {
    const gone = finished.then(
      () => undefined,
      () => undefined,
    )
    try {
      await Promise.race([this.sendStdin(data, { signal: this.#signal }).then(() => this.closeStdin({ signal: this.#signal })), gone])
    } catch (error) {
      // The command's end says more than the broken pipe.
      if (!(error instanceof Fault)) throw error
    }
  }

  /** Kills the command on abort, whoever reads it and whether or not anybody waits. */
  #killOnAbort(): void {
    const stop = onAbort(this.#signal, () => {
      this.#process.signal(constants.signals.SIGKILL, signalOr(undefined)).catch(() => undefined)
    })
    this.#process.exit.then(stop, stop)
  }

  async #finish(): Promise<CommandResult> {
    const text = this.#outputTaken ? { stdout: '', stderr: '' } : await this.#collect()
    const exit = await this.#process.exit
    if (this.#signal.aborted) throw new Fault('CANCELLED', 'the command was killed', { cause: this.#signal.reason })
    return { exitCode: exit.exitCode, ...text, ...present({ signal: exit.signal, limit: exit.limit }) }
  }

  async #collect(): Promise<{ stdout: string; stderr: string }> {
    const kept: Record<Output['channel'], string[]> = { stdout: [], stderr: [], pty: [] }
    const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder(), pty: new TextDecoder() }
    const listeners = { stdout: this.#options.onStdout, stderr: this.#options.onStderr, pty: undefined }
    const say = (channel: Output['channel'], text: string) => {
      if (text === '') return
      kept[channel].push(text)
      listeners[channel]?.(text)
    }
    for await (const piece of this.#process.output) {
      if (piece.channel === 'pty') this.#options.onPty?.(piece.bytes)
      say(piece.channel, decoders[piece.channel].decode(piece.bytes, { stream: true }))
    }
    for (const channel of ['stdout', 'stderr', 'pty'] as const) say(channel, decoders[channel].decode())
    return { stdout: [...kept.stdout, ...kept.pty].join(''), stderr: kept.stderr.join('') }
  }
}
