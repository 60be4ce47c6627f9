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

/** The process has no owner yet, so its end is not judged. */
const UNJUDGED: Judge = { exited: async (exit) => exit, lost: (failure) => Promise.reject(failure) }
/** How the SDKs start a one-line command. */
const COMMAND = { command: '/bin/bash', args: ['-l', '-c', 'true'] }
type Asked = RuntimeRequest | RehearsalRequest
/**
 * Complete runs, as a client would ask for them: reading a request, printing and showing a value are code paths of their own. The rehearsal after them clears
 * their traces.
 */
const RUNS = ["print('warm')", '1', "print('warm')", '1'].map(run)

/**
 * Leaves the first processor, on which the agent stays. And memory that is given back makes the kernel clear what the emulated processor knows of pages: only
 * then QEMU makes room for as many as were needed (native/twins/src/tables.rs).
 */
const APART = 'import os; _all = os.sched_getaffinity(0); os.sched_setaffinity(0, {max(_all)}); os.sched_setaffinity(0, _all)'
const CLEAR = 'import mmap; _memory = mmap.mmap(-1, 1 << 20); _memory.write(bytes(1 << 20)); _memory.close()'
/** Each at most doubles the room. */
const CLEARED = 4

/**
 * Makes an interpreter inside execute the code paths of a first run and reseed itself, so that its owner need not wait for that. After this it must not be
 * saved for others to be restored from.
 */
export function rehearse(agent: AgentConnection, pid: number, plan: Plan, template: Template, signal: AbortSignal): Promise<void> {
  const program = attachProgram(agent, pid, { judge: UNJUDGED }, unending())
  return walked(program, [...RUNS, { ...expected(plan, template), seed: newSeed() }], signal)
}

/** Warms up a machine that others are forked from: a first command, and another first run in its interpreters. No random numbers are kept. */
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
  const clears = Array.from({ length: CLEARED }, () => [{ ...walk, seed: '' }, run(CLEAR)]).flat()
  const asked = [run(APART), ...RUNS, ...clears, ...RUNS, { ...walk, seed: '' }]
  for (const pid of pids) await walked(attachProgram(agent, pid, { judge: UNJUDGED }, unending()), asked, signal)
}

/**
 * Starts an interpreter inside that has no owner yet, and makes it import the usual libraries (or also the large ones, if the size of a state costs nothing)
 * and rehearse. Returns its pid inside; none if the template has nothing to warm up.
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
  // No runs here: after one, gVisor 20221219 cannot save the state ("encoding error at object host.inode").
  await walked(program, [{ ...expected(plan, template), seed: '' }], signal)
  return [program.pid]
}

/** What a client with default options will ask for. */
function expected(plan: Plan, { env }: Template): Pick<RehearsalRequest, 'op' | 'cwd' | 'env'> {
  return { op: 'rehearse', cwd: plan.user.home, env: { ...ACCOUNT_VARIABLES, ...env, ...trustVariables(plan) } }
}

function run(code: string): RuntimeRequest {
  return { op: 'run', id: 0, code, env: {} }
}

async function walked(program: Program, asked: readonly Asked[], signal: AbortSignal): Promise<void> {
  try {
    await orAborted(rehearsed(program, [...asked], signal), signal)
  } finally {
    program.letGo()
  }
}

/** The last request is a rehearsal. */
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
      const isAnswered = message.type === 'ready' || message.type === 'end'
      if (message.type === 'ready' && asked.length === 0) return
      if (isAnswered && asked.length > 0) await ask()
      else if (message.type !== 'result') throw violation(`a message of type ${message.type} while nobody ran anything`)
    }
  }
  throw new Fault('AGENT_LOST', `the interpreter with pid ${program.pid} ended before anybody used it`)
}
