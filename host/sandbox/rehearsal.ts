import { Fault, type Plan } from '@caisson/wire'
import type { AgentConnection } from '../agent/connection.ts'
import { attachProgram, type Judge, type Program, startCommand, startProgram } from '../agent/process.ts'
import { orAborted, unending } from '../lifetimes.ts'
import { newSeed } from '../runtimes/context.ts'
import { ControlLines, violation } from '../runtimes/control-lines.ts'
import type { RehearsalRequest, RuntimeProcess, RuntimeRequest } from '../runtimes/runtime.ts'
import * as shelf from '../runtimes/shelf.ts'
import type { Template } from '../templates/template.ts'
import { ACCOUNT_VARIABLES } from './plan.ts'
import { trustVariables } from './trust.ts'

/** Nobody's process yet: how it ends is nobody's business. */
const UNJUDGED: Judge = { exited: async (exit) => exit, lost: (failure) => Promise.reject(failure) }
/** As the SDKs start what is given as one line. */
const COMMAND = { command: '/bin/bash', args: ['-l', '-c', 'true'] }
type Asked = RuntimeRequest | RehearsalRequest
/** As somebody would ask for them, all the way there and back: to read a request, to print and to show a value are paths of their own. The rehearsal after them forgets them. */
const RUNS = ["print('warm')", '1', "print('warm')", '1'].map((code, id): RuntimeRequest => ({ op: 'run', id, code, env: {} }))

/**
 * Has an interpreter that is inside already walk the paths of a first run, and renew its chance, so that whoever gets it need not wait for that. It may
 * not be saved afterwards, for others to be restored from.
 */
export function rehearse(agent: AgentConnection, pid: number, plan: Plan, template: Template, signal: AbortSignal): Promise<void> {
  const program = attachProgram(agent, pid, { judge: UNJUDGED }, unending())
  return walked(program, [...RUNS, { ...expected(plan, template), seed: newSeed() }], signal)
}

/** For those that are forked from this machine: walks what a first command takes, and has interpreters walk a first run once more. Nothing that is drawn is kept. */
export async function walkAgain(
  agent: AgentConnection,
  pids: readonly number[],
  plan: Plan,
  template: Template,
  signal: AbortSignal,
): Promise<void> {
  const walk = expected(plan, template)
  const command = await startCommand(agent, { ...COMMAND, env: walk.env, cwd: walk.cwd }, { judge: UNJUDGED }, signal)
  for await (const _ of command.output);
  await command.exit
  for (const pid of pids) await walked(attachProgram(agent, pid, { judge: UNJUDGED }, unending()), [...RUNS, { ...walk, seed: '' }], signal)
}

/**
 * Starts an interpreter inside, for nobody yet, and has it import what is usual (or, where a state costs nobody its size, what is large), and rehearse. Its
 * number inside; none where the template has nothing to warm up.
 */
export async function warmUp(
  agent: AgentConnection,
  plan: Plan,
  template: Template,
  imports: 'usual' | 'large',
  signal: AbortSignal,
): Promise<number[]> {
  const runtime = Object.values(shelf).find(({ zygote }) => zygote)
  if (template.zygote === null || runtime === undefined) return []
  const { command, args, env } = runtime.start
  const start = { command, args: [...args, ...(runtime.warm?.[imports] ?? [])], env: { ...template.env, ...env }, cwd: plan.user.home }
  const program = await startProgram(agent, start, { judge: UNJUDGED }, signal)
  // No runs: after them gVisor 20221219 cannot save it ("encoding error at object host.inode").
  await walked(program, [{ ...expected(plan, template), seed: '' }], signal)
  return [program.pid]
}

/** What whoever comes will have asked for, if nothing in particular. */
function expected(plan: Plan, { env }: Template): Pick<RehearsalRequest, 'op' | 'cwd' | 'env'> {
  return { op: 'rehearse', cwd: plan.user.home, env: { ...ACCOUNT_VARIABLES, ...env, ...trustVariables(plan) } }
}

async function walked(program: Program, asked: readonly Asked[], signal: AbortSignal): Promise<void> {
  try {
    await orAborted(rehearsed(program, [...asked], signal), signal)
  } finally {
    program.letGo()
  }
}

/** The last of what is asked is a rehearsal. */
async function rehearsed(program: RuntimeProcess, asked: Asked[], signal: AbortSignal): Promise<void> {
  const lines = new ControlLines()
  const ask = async () => {
    const next = asked.shift()
    if (next !== undefined) await program.sendControl(Buffer.from(`${JSON.stringify(next)}\n`), signal)
  }
  await ask()
  for await (const { channel, bytes } of program.output) {
    if (channel !== 'control') continue
    for (const { message } of lines.push(bytes)) {
      if (message.type === 'ready' && asked.length === 0) return
      if (message.type === 'end' && asked.length > 0) await ask()
      else if (message.type !== 'result') throw violation(`a message of type ${message.type} while nobody ran anything`)
    }
  }
  throw new Fault('AGENT_LOST', `the interpreter with pid ${program.pid} ended before anybody used it`)
}
