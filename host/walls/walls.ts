import { join } from 'node:path'
import { type Death, type Plan, WALLS, type WallName, wallNamed } from '@caisson/wire'
import type { Keepers } from './keepers.ts'
import type { Machines } from './microvm/machines.ts'
import * as shelf from './shelf.ts'
import { Supervised, wallAt } from './supervised.ts'
import type { Built, Cell, Finding, Known, Listening, Promises } from './wall.ts'

export interface WallsOptions {
  readonly keepers: Keepers
  readonly keeper: string
  readonly uid: number
  /** State folder. */
  readonly home: string
  /** The operator's choice of runsc; null: found in the PATH. */
  readonly runsc: string | null
  /** What runs machines, and where Firecracker is, as the operator configured it. */
  readonly machines: Machines
  readonly firecracker: string | null
  /** The agent program; trials of an engine run it. */
  readonly agent: string
  /** Programs of the runtimes. */
  readonly programs: string
  /** Built templates, and among them the parts of machines. */
  readonly templates: string
  readonly preloadLibrary: string
  readonly readonlyLibrary: string
}

/** All walls of this machine. Each call goes to the wall of the sandbox concerned, and to no other. */
export class Walls {
  readonly #walls: Record<WallName, Supervised<unknown>>

  constructor(
    { keepers, keeper, uid, home, runsc, machines, firecracker, agent, preloadLibrary, readonlyLibrary, programs, templates }: WallsOptions,
    record: (death: Death) => void,
  ) {
    const kept = { keepers, keeper, uid }
    const folder = join(home, 'sandboxes')
    const cache = join(home, 'engines')
    this.#walls = {
      container: new Supervised(shelf.container, kept, folder, record) as Supervised<unknown>,
      gvisor: new Supervised(shelf.gvisor, { ...kept, runsc, agent, preloadLibrary, cache }, folder, record) as Supervised<unknown>,
      microvm: new Supervised(
        shelf.microvm,
        { ...kept, agent, programs, templates, cache, readonlyLibrary, machines, firecracker },
        folder,
        record,
      ) as Supervised<unknown>,
    }
  }

  promises(wall: WallName): Promises {
    return this.#walls[wall].promises
  }

  probe(wall: WallName, signal: AbortSignal): Promise<Finding[]> {
    return this.#walls[wall].probe(signal)
  }

  /** The engine of this wall, after a trial. Rejects with WALL_UNAVAILABLE, with the command that fixes it. */
  engine(wall: WallName, signal: AbortSignal): Promise<Built> {
    return this.#walls[wall].engine(signal)
  }

  /** Makes a newly saved state faster to restore; `file`: of that state. False: it is unchanged, and restoring takes longer. */
  easeState(wall: WallName, file: string, signal: AbortSignal): Promise<boolean> {
    return this.#walls[wall].easeState(file, signal)
  }

  /** As Wall.launch. */
  launch(plan: Plan, signal: AbortSignal, listening?: Listening): Promise<Cell> {
    return this.#walls[plan.wall].launch(plan, signal, listening)
  }

  adopt(plan: Known, signal: AbortSignal): Promise<Cell> {
    return this.#of(plan.dir).adopt(plan, signal)
  }

  bury(plan: Plan, signal: AbortSignal): Promise<Death> {
    return this.#walls[plan.wall].bury(plan, signal)
  }

  salvageDisk(plan: Plan, to: string, signal: AbortSignal): Promise<void> {
    return this.#walls[plan.wall].salvageDisk(plan, to, signal)
  }

  remove(id: string, dir: string): Promise<void> {
    return this.#of(dir).remove(id, dir)
  }

  async sweepOrphans(signal: AbortSignal): Promise<void> {
    for (const wall of WALLS) await this.#walls[wall].sweepOrphans(signal)
  }

  /** Zygotes always stand behind the container wall. */
  sweepDead(dir: string): Promise<void> {
    return this.#walls.container.sweepDead(dir)
  }

  /** By the sandbox's folder, because the sandbox may have no record. */
  #of(dir: string): Supervised<unknown> {
    return this.#walls[wallNamed(wallAt(dir))]
  }
}
