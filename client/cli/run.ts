import { resolve } from 'node:path'
import { acquireDoor, closeIdleHost } from '../embedded.ts'
import { Sandbox } from '../sandbox.ts'
import { splitAtDashes } from './arguments/source.ts'
import { faultLine } from './ending.ts'
import { type BroughtBack, bringBack } from './run/bring-back.ts'
import { carryIn, checkInputs, nameInside } from './run/carry-in.ts'
import { runCode } from './run/code.ts'
import { runCommand } from './run/command.ts'
import { Interrupts } from './run/interrupts.ts'
import { type Job, jobOf } from './run/job.ts'
import { checkLanding } from './run/landing.ts'
import { networkTold, tellNetwork } from './run/network-told.ts'
import type { Outcome } from './run/outcome.ts'
import { type Durations, documentOf, tellFault } from './run/report.ts'
import { aloud, quiet, type Say } from './run/say.ts'
import { ofOptions, type RunWishes, runWishes } from './run/wishes.ts'

/** Runs one program in a new sandbox. */
export async function run(argv: readonly string[]): Promise<number> {
  let wishes: RunWishes | undefined
  try {
    wishes = runWishes(argv)
  } catch (error) {
    return tellFault(error, splitAtDashes(argv).own.includes('--json'))
  }
  if (wishes === undefined) return 0
  using interrupts = new Interrupts()
  try {
    await checkInputs(wishes.inputs)
    if (wishes.dryRun) return await dryRun(wishes, interrupts.signal)
    const job = await jobOf(wishes.source, wishes.language)
    return await inSandbox(wishes, job, interrupts)
  } catch (error) {
    if (interrupts.exitCode !== undefined) return interrupts.exitCode
    return tellFault(ofOptions(error), wishes.json)
  } finally {
    await closeIdleHost()
  }
}

async function dryRun(wishes: RunWishes, signal: AbortSignal): Promise<number> {
  const { door, release } = await acquireDoor(signal)
  try {
    process.stdout.write(`${JSON.stringify(await door.plan(wishes.request, signal), null, 2)}\n`)
    return 0
  } finally {
    await release()
  }
}

async function inSandbox(wishes: RunWishes, job: Job, interrupts: Interrupts): Promise<number> {
  const say = wishes.json ? quiet() : aloud(interrupts)
  const begun = performance.now()
  // Without the leash, a daemon's sandbox would outlive this program if it is killed.
  await using sandbox = await Sandbox.create({ ...wishes.request, leash: 'host', signal: interrupts.signal })
  const created = performance.now()
  // Killing the sandbox rejects everything that waits for it; the disposal below waits until nothing of it is left.
  interrupts.signal.addEventListener('abort', () => void sandbox.kill().catch(() => undefined), { once: true })
  if (wishes.out !== undefined) await checkLanding(wishes.out)
  await carryAllIn(sandbox, wishes, job, interrupts.signal)
  const started = performance.now()
  const outcome = await execute(sandbox, wishes, job, say, interrupts)
  const ended = performance.now()
  if (interrupts.exitCode !== undefined) return interrupts.exitCode
  if (outcome.fault !== undefined) process.stderr.write(`${faultLine(outcome.fault)}\n`)
  const back = await bringBack(sandbox, wishes.out, job, outcome, interrupts.signal)
  tell(back, wishes.json)
  const durations: Durations = {
    create: created - begun,
    carryIn: started - created,
    run: ended - started,
    total: performance.now() - begun,
  }
  const network = await networkTold(wishes, sandbox.id, interrupts.signal)
  if (network !== undefined && !wishes.json) tellNetwork(sandbox.id, network)
  if (wishes.json) process.stdout.write(documentOf(sandbox.id, outcome, back, durations, network))
  return outcome.exitCode
}

async function carryAllIn(sandbox: Sandbox, wishes: RunWishes, job: Job, signal: AbortSignal): Promise<void> {
  if (job.kind === 'program') {
    await sandbox.files.write(`/home/user/${job.name}`, job.code, { signal })
    if (job.companion !== undefined) await carryIn(sandbox, job.companion, `/home/user/${job.stem}`, signal)
  }
  for (const path of wishes.inputs) await carryIn(sandbox, path, `/home/user/${nameInside(path)}`, signal)
}

async function execute(sandbox: Sandbox, wishes: RunWishes, job: Job, say: Say, interrupts: Interrupts): Promise<Outcome> {
  if (job.kind !== 'command') return await runCode(sandbox, job, say, interrupts)
  return await runCommand(sandbox, { command: job.command, cwd: folderInside(wishes), keep: wishes.json }, say, interrupts)
}

/** A command runs in the current folder if that is mounted, otherwise in the user's home. */
function folderInside(wishes: RunWishes): string | undefined {
  const here = resolve('.')
  const mounted = wishes.request.mounts?.some(({ target }) => here === target || here.startsWith(`${target}/`))
  return mounted ? here : undefined
}

function tell(back: BroughtBack, json: boolean): void {
  if (!json) for (const path of back.saved) process.stderr.write(`caisson: saved ${path}\n`)
  for (const what of back.left) process.stderr.write(`caisson: left behind: ${what}\n`)
}
