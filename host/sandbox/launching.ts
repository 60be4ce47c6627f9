import type { Plan } from '@caisson/wire'
import type { AgentConnection } from '../agent/connection.ts'
import type { Template } from '../templates/template.ts'
import { LaunchFault } from '../walls/keeper.ts'
import type { Cell } from '../walls/wall.ts'
import type { Walls } from '../walls/walls.ts'
import type { WarmStates } from './warm-states.ts'
import type { Zygotes } from './zygote.ts'

/** The launch step that talks to the zygote (native/keeper/src/order.rs). */
const ZYGOTE_STEP = 'zygote'
/** The launch step that waits for the engine to report. */
const ENGINE_STEP = 'engine'

export interface LaunchingParts {
  walls: Pick<Walls, 'launch'>
  zygotes: Pick<Zygotes, 'replace'>
  warm: Pick<WarmStates, 'restored' | 'starting'>
  notice: (line: string) => void
}

/** A running sandbox, the plan that it was built by, and the connection to its agent. */
export interface Launched {
  readonly cell: Cell
  readonly built: Plan
  readonly agent: AgentConnection
}

type Insides = Promise<typeof import('./inside.ts')>

/** Sends the keeper its plan before the modules are loaded. The first messages to the agent are written before it starts, and wait for it in the socket. */
export async function launchOnce(
  { walls }: Pick<LaunchingParts, 'walls'>,
  plan: Plan,
  insides: Insides,
  signal: AbortSignal,
): Promise<Launched> {
  let agent: Promise<AgentConnection> | undefined
  const speak = (socket: string) => (agent = insides.then(({ AgentConnection }) => AgentConnection.to(socket)))
  const cell = await walls.launch(plan, signal, speak)
  return { cell, built: plan, agent: await (agent ?? speak(cell.agentSocket)) }
}

/**
 * Launches with the warmest start that works: forked from a mother, else restored from a saved state, else with an interpreter started inside. A dead zygote is
 * replaced once; if there is no new one, the interpreter starts inside.
 */
export async function launchWarmest(
  { walls, zygotes, warm, notice }: LaunchingParts,
  plan: Plan,
  template: Template,
  insides: Insides,
  signal: AbortSignal,
): Promise<Launched> {
  let built = plan
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await launchOnce({ walls }, built, insides, signal)
    } catch (failure) {
      if (!(failure instanceof LaunchFault)) throw failure
      const from = built.engine?.warm
      if (from?.op === 'restore' && from.mother !== undefined) {
        // A mother's end also removes the disk that its twins' disks are copied from, so any launch step may fail because of it.
        built = warm.restored(built, failure.step === ZYGOTE_STEP || failure.step === ENGINE_STEP ? failure.message : undefined)
        continue
      }
      if (from?.op === 'restore' && failure.step === ENGINE_STEP) {
        built = await warm.starting(built, failure.message)
        continue
      }
      if (failure.step !== ZYGOTE_STEP || built.zygote === null) throw failure
      const socket = attempt === 0 ? await zygotes.replace(template, signal) : null
      if (socket === null) notice(`${failure.message}; the interpreter starts cold, which takes longer`)
      built = { ...built, zygote: socket === null ? null : { ...built.zygote, socket } }
    }
  }
}
