import { Fault } from '@caisson/wire'
import type { StartOptions } from '../../commands.ts'
import { present } from '../../present.ts'
import type { RunningCommand } from '../../running-command.ts'
import type { Sandbox } from '../../sandbox.ts'
import { clientSettings } from '../../settings.ts'
import type { Interrupts } from './interrupts.ts'
import { endOf, endOfRejection, type Outcome } from './outcome.ts'
import type { Say } from './say.ts'
import { Terminal } from './terminal.ts'

export interface CommandRun {
  command: readonly [string, ...string[]]
  cwd?: string | undefined
  user?: string | undefined
  env?: Record<string, string> | undefined
  timeoutMs?: number | undefined
  /** Keep the output, for `--json`. */
  keep: boolean
}

/** Runs a command connected to this process's standard input, output and terminal. */
export async function runCommand(sandbox: Sandbox, run: CommandRun, say: Say, interrupts: Interrupts): Promise<Outcome> {
  using terminal = run.keep ? undefined : Terminal.ofThisProcess()
  const term = clientSettings().term
  const running = await started(sandbox, run.command, {
    stdin: true,
    signal: interrupts.signal,
    ...present({ cwd: run.cwd, user: run.user, timeoutMs: run.timeoutMs, pty: terminal?.size }),
    env: { ...(terminal === undefined || term === undefined ? {} : { TERM: term }), ...run.env },
  })
  const output = running.output
  interrupts.inside(() => running.kill('SIGINT'))
  terminal?.onResize((size) => running.resize(size).catch(ignoreGone))
  const feeding = new AbortController()
  const fed = feed(running, feeding.signal).catch(ignoreGone)
  const kept: Record<'stdout' | 'stderr', Uint8Array[]> = { stdout: [], stderr: [] }
  try {
    for await (const piece of output) {
      if (run.keep) kept[piece.channel === 'stderr' ? 'stderr' : 'stdout'].push(piece.bytes)
      await say.bytes(piece.channel, piece.bytes)
    }
    return { ...endOf(await running.wait()), ...asText(kept) }
  } catch (error) {
    return { ...(await endOfRejection(error, sandbox)), ...asText(kept) }
  } finally {
    feeding.abort()
    await fed
  }
}

/** The agent names what was not found. The folder exists, so it is the command; only this side knows what to do about that. */
async function started(sandbox: Sandbox, command: CommandRun['command'], options: StartOptions): Promise<RunningCommand> {
  try {
    return await sandbox.commands.start(command, options)
  } catch (cause) {
    if (!(cause instanceof Fault && cause.code === 'FILE_MISSING')) throw cause
    const hint = 'A sandbox has the programs of its template (/usr/bin), and none of your folders: copy or mount what is missing.'
    throw new Fault('FILE_MISSING', `there is no command ${command[0]} inside`, { hint, cause })
  }
}

function asText(kept: Record<'stdout' | 'stderr', Uint8Array[]>): Pick<Outcome, 'stdout' | 'stderr' | 'results'> {
  return { stdout: Buffer.concat(kept.stdout).toString('utf8'), stderr: Buffer.concat(kept.stderr).toString('utf8'), results: [] }
}

/** Forwards this process's standard input until it or the command ends. */
async function feed(running: RunningCommand, signal: AbortSignal): Promise<void> {
  signal.addEventListener('abort', () => process.stdin.destroy(), { once: true })
  for await (const piece of process.stdin) {
    if (signal.aborted) return
    await running.sendStdin(piece, { signal })
  }
  if (!signal.aborted) await running.closeStdin({ signal })
}

/** The command or this side ended before everything was written. How it ended is reported elsewhere. */
function ignoreGone(error: unknown): void {
  if (error instanceof Fault) return
  const code = (error as NodeJS.ErrnoException).code
  if (code !== 'ERR_STREAM_PREMATURE_CLOSE' && code !== 'ABORT_ERR' && code !== 'EIO') throw error
}
