import type { Plan } from '@caisson/wire'
import type { AgentConnection } from '../agent/connection.ts'
import type { Template } from '../templates/template.ts'
import { LaunchFault } from '../walls/keeper.ts'
import type { Cell } from '../walls/wall.ts'
import type { Walls } from '../walls/walls.ts'
import type { WarmStates } from './warm-states.ts'
import type { Zygotes } from './zygote.ts'

/** The step of native/keeper/src/order.rs that speaks with the zygote. */
const ZYGOTE_STEP = 'zygote'
/** The one in which an engine is heard of, or not. */
const ENGINE_STEP = 'engine'

export interface LaunchingParts {
  walls: Pick<Walls, 'launch'>
  zygotes: Pick<Zygotes, 'replace'>
  warm: Pick<WarmStates, 'restored' | 'starting'>
  notice: (line: string) => void
}

/** A sandbox that stands, as what it was built, and the connection to its agent. */
export interface Launched {
  readonly cell: Cell
  readonly built: Plan
  readonly agent: AgentConnection
}

type Insides = Promise<typeof import('./inside.ts')>

/** The keeper has its plan before anything is loaded, and the agent its first words before it starts, where they wait for it. */
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
 * A zygote that died since it was last seen is replaced once; if there is none to be had the interpreter starts inside. So it does where a saved state
 * cannot be restored; and it is restored where it cannot be forked.
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
        // A mother that ends takes with her what her twins' disks are copied from: any step may have missed it.
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
