import type { EndReason, Held, Output, StartRequest } from '@caisson/wire'
import { present } from './present.ts'
import { type CommandOptions, RunningCommand } from './running-command.ts'
import { signalOr } from './signals.ts'

/** A string is a command line for `/bin/bash -l -c`; an array is a program and its arguments, executed directly. */
export type CommandLine = string | readonly [string, ...string[]]

export interface StartOptions extends CommandOptions {
  cwd?: string
  env?: Record<string, string>
  /** A name in the sandbox's /etc/passwd: `user` (default) or `root`, where the wall has one. */
  user?: string
  /** True keeps standard input open for `sendStdin`; otherwise it is /dev/null. */
  stdin?: boolean
  /** A terminal instead of pipes; all output then arrives on the channel `pty`. */
  pty?: { columns: number; rows: number }
  /** The command is killed after this long; the sandbox lives on. */
  timeoutMs?: number
  signal?: AbortSignal
}

export interface RunOptions extends Omit<StartOptions, 'stdin' | 'pty'> {
  /** Written to the command's standard input, which is then closed. */
  stdin?: string | Uint8Array
}

/**
 * What a command did. A non-zero exit code is a result, not an error: `run` rejects only if the command could not be run. (E2B's SDK throws `CommandExitError`
 * instead.)
 */
export interface CommandResult {
  /** The program's own exit code, or 128 + signal. */
  exitCode: number
  stdout: string
  stderr: string
  /** Number of the signal that killed it. */
  signal?: number
  /** The limit that ended it, if one did. */
  limit?: EndReason
}

export type CommandOutput = Output

/** The commands of one sandbox. */
export class Commands {
  readonly #held: Held

  constructor(held: Held) {
    this.#held = held
  }

  /** Runs a command until it ends. Rejects with a Fault if it cannot be started, or with CANCELLED when `signal` aborts (which kills it). */
  async run(command: CommandLine, options: RunOptions = {}): Promise<CommandResult> {
    const { stdin, ...rest } = options
    const running = await this.start(command, { ...rest, stdin: stdin !== undefined })
    const finished = running.wait()
    if (stdin !== undefined) await running.feed(stdin, finished)
    return await finished
  }

  /** Starts a command and returns it while it runs. */
  async start(command: CommandLine, options: StartOptions = {}): Promise<RunningCommand> {
    const { signal, onStdout, onStderr, onPty, ...rest } = options
    const [program, ...args] = typeof command === 'string' ? ['/bin/bash', '-l', '-c', command] : command
    const request: StartRequest = { ...present(rest), command: program ?? '', args }
    const process = await this.#held.start(request, signalOr(signal))
    return new RunningCommand(process, present({ onStdout, onStderr, onPty }), signalOr(signal))
  }
}
