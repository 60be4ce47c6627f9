import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { type Death, Fault, type Plan, within } from '@caisson/wire'
import { bounded, freshDeadline, Onlookers, refuseAborted } from '../lifetimes.ts'
import { giveBack, markTaken, moveDisk, stands } from './disk-images.ts'
import { recordedDeath } from './keeper.ts'
import type { Built, Cell, Finding, Known, Listening, Promises, Wall } from './wall.ts'

/** Longer than the keeper's own timeout, so that its error arrives first. */
const LAUNCH_MS = 90_000
const SWEEP_MS = 30_000
/** A keeper answers in microseconds, unless it is dead. */
const ADOPT_MS = 10_000
/** A younger folder whose keeper does not answer may belong to a sandbox that is still being made. */
const YOUNG_MS = LAUNCH_MS + 30_000
/** A sandbox's folder is named after its id, a zygote's after its template. This file holds a zygote's id. */
const ZYGOTE_ID = 'id'
/** This file in its folder names its wall; absent: the first wall that existed. */
const WALL_MARKER = 'wall'
const FIRST_WALL = 'container'
/** A daemon sets this marker for a frozen sandbox whose disk it wants to keep. Only the daemon removes it. */
const PAUSED = 'paused'

/** What every wall needs and none implements itself: a marker before any resource is taken, a deadline, and the sweep after a crash. */
export class Supervised<Options> {
  readonly #wall: Wall<Options>
  readonly #options: Options
  /** The folder `sandboxes` of the home, with one state folder per sandbox. */
  readonly #folder: string
  /** Injected, because walls do not know the audit log. */
  readonly #record: (death: Death) => void
  readonly #launchMs: number

  constructor(wall: Wall<Options>, options: Options, folder: string, record: (death: Death) => void, launchMs = LAUNCH_MS) {
    this.#launchMs = launchMs
    this.#wall = wall
    this.#options = wall.options.parse(options)
    this.#folder = folder
    this.#record = record
  }

  get promises(): Promises {
    return this.#wall.promises
  }

  engine(signal: AbortSignal): Promise<Built> {
    return this.#wall.engine(this.#options, signal)
  }

  probe(signal: AbortSignal): Promise<Finding[]> {
    return this.#wall.probe(this.#options, signal)
  }

  /** As Wall.easeState; true if the wall does not implement it. */
  async easeState(file: string, signal: AbortSignal): Promise<boolean> {
    return (await this.#wall.easeState?.(file, signal)) ?? true
  }

  /** As Wall.launch. If the keeper did not live to clean up, the cell's `death` waits for the sweep. */
  async launch(plan: Plan, signal: AbortSignal, listening?: Listening): Promise<Cell> {
    refuseAborted(signal)
    mark(plan)
    let cell: Cell
    const late = (cause: unknown) =>
      new Fault('LAUNCH_FAILED', `it did not stand within ${this.#launchMs / 1000} s, and was given up`, { cause })
    try {
      cell = await bounded(this.#launchMs, signal, (either) => this.#wall.launch(plan, this.#options, either, listening), late)
    } catch (failure) {
      await this.#clear(plan.id, plan.dir)
      // The record of a sandbox that came up after its caller had given up.
      await rm(plan.deathRecord, { force: true })
      throw failure
    }
    return this.#hold(plan, cell)
  }

  /** The cell of a sandbox that another process launched. Rejects with SANDBOX_GONE when its keeper does not answer: see `bury`. */
  async adopt(plan: Known, signal: AbortSignal): Promise<Cell> {
    refuseAborted(signal)
    return this.#hold(plan, await this.#wall.adopt(plan, this.#options, within(ADOPT_MS, signal)))
  }

  /** How a sandbox without a live keeper ended. Removes what it left. */
  async bury(plan: Plan, signal: AbortSignal): Promise<Death> {
    refuseAborted(signal)
    const times = { startedMs: Date.now(), endedMs: Date.now() }
    const crash: Death = { id: plan.id, reason: 'crash', detail: 'found without a keeper', ...times, peakMemoryBytes: null, cpuUs: null }
    return this.#bury(plan, (await recordedDeath(plan)) ?? crash)
  }

  /** Moves the disk of a sandbox whose keeper is gone out of its folder, before that is removed. Rejects with NOT_FOUND when there is none. */
  async salvageDisk(plan: Plan, to: string, signal: AbortSignal): Promise<void> {
    refuseAborted(signal)
    await this.#wall.sweep(plan.id, this.#options, freshDeadline(SWEEP_MS))
    await moveDisk(plan.dir, to, freshDeadline(SWEEP_MS))
  }

  #hold(plan: Known, cell: Cell): Cell {
    stands(plan)
    return new SupervisedCell(
      cell,
      cell.death.then((death) => this.#bury(plan, death)),
    )
  }

  /** Removes what sandboxes of this wall left whose keepers are gone. It skips those that live or may still be being made. */
  async sweepOrphans(signal: AbortSignal): Promise<void> {
    for (const id of await readdir(this.#folder)) {
      refuseAborted(signal)
      const dir = join(this.#folder, id)
      const found = await stat(dir).catch(() => undefined)
      if (found === undefined || Date.now() - found.mtimeMs < YOUNG_MS || existsSync(join(dir, PAUSED))) continue
      if (wallAt(dir) !== this.#wall.name) continue
      if (await answers(join(dir, 'keeper.sock'))) continue
      await this.#clear(id, dir)
      const times = { startedMs: found.mtimeMs, endedMs: Date.now() }
      this.#record({ id, reason: 'crash', detail: 'found without a keeper', ...times, peakMemoryBytes: null, cpuUs: null })
    }
  }

  /** Removes what a dead zygote left. If its keeper is still cleaning up, this waits for it. */
  async sweepDead(dir: string): Promise<void> {
    const id = await readFile(join(dir, ZYGOTE_ID), 'utf8').catch(() => undefined)
    if (id !== undefined) {
      const deathRecord = join(this.#folder, '../deaths', `${id}.json`)
      await this.#outlast({ id, dir, kind: 'zygote', deathRecord, disk: { kind: 'tmpfs', bytes: 1, inodes: 1 } })
      await this.#wall.sweep(id, this.#options, freshDeadline(SWEEP_MS))
    }
    await rm(dir, { recursive: true, force: true })
  }

  async #outlast(plan: Known): Promise<void> {
    if (!(await answers(join(plan.dir, 'keeper.sock')))) return
    try {
      await using _last = await this.adopt(plan, freshDeadline(SWEEP_MS))
    } catch (failure) {
      // The keeper finished before it could answer.
      if (!(failure instanceof Fault && failure.code === 'SANDBOX_GONE')) throw failure
    }
  }

  /** Removes what a dead sandbox left. */
  remove(id: string, dir: string): Promise<void> {
    return this.#clear(id, dir)
  }

  /**
   * Deletes the death record, which has been read by now. A keeper that was killed has left everything else as well, including its folder. What cannot be
   * removed is mentioned in the death, which counts in any case, and the next host tries again.
   */
  async #bury(plan: Known, death: Death): Promise<Death> {
    // A zygote's folder may belong to a new one already; only the holder of its lock calls `sweepDead`. All others, mothers too, have one of their own.
    const isOwn = plan.dir === join(this.#folder, plan.id)
    const isLeft = isOwn && death.reason === 'crash' && existsSync(plan.dir)
    const told = { ...death }
    try {
      await rm(plan.deathRecord, { force: true })
      if (isLeft) await this.#clear(plan.id, plan.dir)
    } catch (failure) {
      told.detail += `; what it left could not be removed: ${failure instanceof Error ? failure.message : String(failure)}`
    }
    if (isLeft) this.#record(told)
    return told
  }

  /** The folder, which is the marker, goes last: until then the next host would try again. */
  async #clear(id: string, dir: string): Promise<void> {
    await this.#wall.sweep(id, this.#options, freshDeadline(SWEEP_MS))
    await giveBack(dir, freshDeadline(SWEEP_MS))
    await rm(dir, { recursive: true, force: true })
  }
}

function mark(plan: Plan): void {
  try {
    // Synchronous: it is on the path of every launch, and faster than a round trip through the thread pool.
    mkdirSync(plan.dir, { mode: 0o700 })
    markTaken(plan)
    if (plan.wall !== FIRST_WALL) writeFileSync(join(plan.dir, WALL_MARKER), plan.wall, { mode: 0o600 })
    if (plan.kind === 'zygote') writeFileSync(join(plan.dir, ZYGOTE_ID), plan.id, { mode: 0o600 })
  } catch (cause) {
    throw new Fault('HOME_UNUSABLE', `${plan.dir}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

/** The wall of the sandbox with this folder. */
export function wallAt(dir: string): string {
  try {
    return readFileSync(join(dir, WALL_MARKER), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return FIRST_WALL
    throw error
  }
}

class SupervisedCell implements Cell {
  readonly #cell: Cell
  readonly #mourners: Onlookers<Death>
  readonly death: Promise<Death>

  constructor(cell: Cell, death: Promise<Death>) {
    this.#cell = cell
    this.death = death
    this.#mourners = new Onlookers(death)
  }

  get ready() {
    return this.#cell.ready
  }

  get agentSocket() {
    return this.#cell.agentSocket
  }

  onDeath(listener: (death: Death) => void): () => void {
    return this.#mourners.add(listener)
  }

  onLimit(listener: Parameters<Cell['onLimit']>[0]): () => void {
    return this.#cell.onLimit(listener)
  }

  onFrozen(listener: () => void): () => void {
    return this.#cell.onFrozen(listener)
  }

  ask(request: Parameters<Cell['ask']>[0], signal: AbortSignal) {
    return this.#cell.ask(request, signal)
  }

  release(): void {
    this.#cell.release()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cell[Symbol.asyncDispose]()
    await this.death
  }
}

/** Whether a process listens there. A socket file without a listener refuses connections (unix(7)). */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path })
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false)
      // A zygote's SOCK_SEQPACKET socket, which Node does not support: somebody listens.
      else if (error.code === 'EPROTOTYPE') resolve(true)
      else reject(error)
    })
  })
}
