import { Sandbox } from '../../sandbox.ts'
import { faultLine } from '../ending.ts'
import { type CommandRun, runCommand } from '../run/command.ts'
import { Interrupts } from '../run/interrupts.ts'
import type { Outcome } from '../run/outcome.ts'
import { tellFault } from '../run/report.ts'
import { aloud, quiet } from '../run/say.ts'

/** Runs a command in an existing sandbox and leaves the sandbox running. The first Ctrl-C goes to the command; a second one, or SIGTERM, ends the command. */
export async function inside(id: string, run: CommandRun): Promise<number> {
  using interrupts = new Interrupts()
  try {
    const sandbox = await Sandbox.attach(id, { signal: interrupts.signal })
    const outcome = await runCommand(sandbox, run, run.keep ? quiet() : aloud(interrupts), interrupts)
    if (interrupts.exitCode !== undefined) return interrupts.exitCode
    if (outcome.fault !== undefined) process.stderr.write(`${faultLine(outcome.fault)}\n`)
    if (run.keep) process.stdout.write(documentOf(id, outcome))
    return outcome.exitCode
  } catch (error) {
    return interrupts.exitCode ?? tellFault(error, run.keep)
  }
}

function documentOf(id: string, { exitCode, limit, stdout, stderr }: Outcome): string {
  return `${JSON.stringify({ id, exitCode, limit, stdout, stderr }, null, 2)}\n`
}
