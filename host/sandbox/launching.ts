import type { Plan } from '@caisson/wire'
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
  warm: Pick<WarmStates, 'starting'>
  notice: (line: string) => void
}

/**
 * A zygote that died since it was last seen is replaced once; if there is none to be had the interpreter starts inside. So it does where a saved state
 * cannot be restored.
 */
export async function launchWarmest(
  { walls, zygotes, warm, notice }: LaunchingParts,
  plan: Plan,
  template: Template,
  signal: AbortSignal,
): Promise<{ cell: Cell; built: Plan }> {
  let built = plan
  for (let attempt = 0; ; attempt += 1) {
    try {
      return { cell: await walls.launch(built, signal), built }
    } catch (failure) {
      if (!(failure instanceof LaunchFault)) throw failure
      if (failure.step === ENGINE_STEP && built.engine?.warm?.op === 'restore') {
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
