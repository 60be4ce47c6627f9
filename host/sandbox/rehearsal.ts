import { Fault } from '@caisson/wire'
import type { AgentConnection } from '../agent/connection.ts'
import { attachProgram, type Judge } from '../agent/process.ts'
import { orAborted, unending } from '../lifetimes.ts'
import { ControlLines, violation } from '../runtimes/control-lines.ts'
import type { RehearsalRequest, RuntimeProcess } from '../runtimes/runtime.ts'
import type { Cell } from '../walls/wall.ts'

/** Nobody's process yet: how it ends is nobody's business. */
const UNJUDGED: Judge = { exited: async (exit) => exit, lost: (failure) => Promise.reject(failure) }
const REQUEST: RehearsalRequest = { op: 'rehearse' }

/** Has the interpreter that was forked into a sandbox walk the paths of a first run, so that whoever gets it need not wait for that. */
export async function rehearse(cell: Cell, agent: AgentConnection, signal: AbortSignal): Promise<void> {
  const [pid] = cell.ready.forked
  if (pid === undefined) return
  const program = attachProgram(agent, pid, { judge: UNJUDGED }, unending())
  try {
    await orAborted(rehearsed(program, signal), signal)
  } finally {
    program.letGo()
  }
}

async function rehearsed(program: RuntimeProcess, signal: AbortSignal): Promise<void> {
  const lines = new ControlLines()
  await program.sendControl(Buffer.from(`${JSON.stringify(REQUEST)}\n`), signal)
  for await (const { channel, bytes } of program.output) {
    if (channel !== 'control') throw violation('output before anybody ran anything')
    for (const { message } of lines.push(bytes)) {
      if (message.type === 'ready') return
      throw violation(`a message of type ${message.type} instead of ready`)
    }
  }
  throw new Fault('AGENT_LOST', `the interpreter with pid ${program.pid} ended before anybody used it`)
}
