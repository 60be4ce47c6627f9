import { existsSync } from 'node:fs'
import { Fault, type Plan } from '@caisson/wire'
import { freshDeadline } from '../lifetimes.ts'
import { markKept, unmarkKept } from '../walls/disk-images.ts'
import type { Cell } from '../walls/wall.ts'
import { copyMemory, forget, layDown, sleepsIn, waking } from './asleep.ts'
import type { Creating } from './creating.ts'
import type { LiveSandbox } from './life.ts'
import { type ContextRecord, emptied, type SandboxRecord, type Used } from './record.ts'

const KEEPER_MS = 30_000
const BOOT_MS = 90_000
/** Some hundreds of MiB on their way to a disk that may be busy. */
export const SLEEP_MS = 180_000

export interface SleepParts {
  readonly creating: Pick<Creating, 'again' | 'wake'>
  /** Our keeper, which knows sums. */
  readonly keeper: string
}

/** Who sleeps: what a resident lets be known of itself, and done with it. */
export interface Sleeper {
  readonly record: SandboxRecord
  /** Of the host: its disk while it does not run, and its memory beside it. */
  readonly places: { readonly disk: string; readonly memory: string }
  /** Whoever is in has to leave, and nothing more is told of it to anybody, until it has been settled again. */
  leave(live: LiveSandbox): Cell
  settle(live: LiveSandbox): void
  update(change: Partial<SandboxRecord>): Promise<void>
  paused(): void
  over(reason: string, detail: string, death: Used | undefined): Promise<void>
  gone(): Fault
  contextsChanged(contexts: readonly ContextRecord[]): void
}

/** Memory of a sandbox on its way to the disk and back. */
export class Sleep {
  readonly #parts: SleepParts
  readonly #sleeper: Sleeper

  constructor(parts: SleepParts, sleeper: Sleeper) {
    this.#parts = parts
    this.#sleeper = sleeper
  }

  /** Its memory is written to the disk. Rejects with PAUSE_FAILED: it runs on, or is paused with its files alone, as the message says; or with SANDBOX_GONE. */
  async fall(live: LiveSandbox): Promise<void> {
    const { places } = this.#sleeper
    await layDown(places.memory, this.#sleeper.record.plan)
    const { dir } = this.#sleeper.record.plan
    markKept(dir, places.disk)
    const cell = this.#sleeper.leave(live)
    const refused = await asked(cell, { op: 'sleep', folder: places.memory, keepDisk: places.disk })
    if (refused !== undefined && (await stands(cell))) {
      await unmarkKept(dir, places.disk)
      await forget(places.memory)
      await this.#goOn(cell, 'it could not be paused')
      throw new Fault('PAUSE_FAILED', `sandbox ${this.#sleeper.record.id} runs on: ${said(refused)}`, { cause: refused })
    }
    if (refused !== undefined) await cell[Symbol.asyncDispose]()
    const death = await cell.death
    if (!existsSync(places.disk)) {
      await forget(places.memory)
      await this.#sleeper.over(death.reason === 'pause' ? 'crash' : death.reason, death.detail, death)
      throw this.#sleeper.gone()
    }
    const paused = sleepsIn(places.memory) ? 'asleep' : 'stopped'
    const { id, state, contexts: had } = this.#sleeper.record
    const contexts = paused === 'asleep' ? had : emptied(had)
    await this.#sleeper.update({ state: 'paused', paused, pausedMs: Date.now(), filesOnly: false, contexts })
    if (state === 'running') this.#sleeper.paused()
    if (paused === 'asleep') return
    // Its keeper was ended meanwhile: whoever counts on the memory must hear that there is none.
    throw new Fault('PAUSE_FAILED', `sandbox ${id} is paused with its files alone: its memory was not written to its end`, {
      hint: 'Resume it: it boots anew.',
      cause: refused,
    })
  }

  /** The same processes, from the disk. If they cannot be had, everything is as it was. */
  async wake(timeoutMs: number): Promise<void> {
    const { record, places } = this.#sleeper
    const { plan, lifecycle, contexts } = record
    const signal = freshDeadline(BOOT_MS)
    const slept = await waking({ plan, folder: places.memory, image: places.disk }, this.#parts.keeper, signal)
    const woken: Plan = {
      ...slept,
      disk: plan.disk.kind === 'image' ? { ...plan.disk, image: places.disk, take: true } : plan.disk,
      limits: { ...plan.limits, wallMs: timeoutMs, onWall: lifecycle.onTimeout === 'pause' ? 'freeze' : 'end' },
    }
    const contextsChanged = (changed: ContextRecord[]) => this.#sleeper.contextsChanged(changed)
    const live = await this.#parts.creating.wake({ ...record, plan: woken }, contextsChanged, signal)
    live.processes.adopt(contexts.flatMap(({ pid }) => pid ?? []))
    await this.#sleeper.update({ state: 'running', paused: null, pausedMs: null, endMs: Date.now() + timeoutMs, plan: woken })
    this.#sleeper.settle(live)
    // What is in memory now is newer.
    await forget(places.memory)
  }

  /**
   * Its memory and its disk as they are at one moment, in that empty folder; it goes on, without those who were in. Rejects with SNAPSHOT_FAILED, or
   * SANDBOX_GONE.
   */
  async copy(live: LiveSandbox, folder: string, lasts: boolean): Promise<void> {
    const { id } = this.#sleeper.record
    const cell = this.#sleeper.leave(live)
    const refused = await asked(cell, { op: 'snapshot', folder, lasts })
    if (refused !== undefined && !(await stands(cell))) {
      await cell[Symbol.asyncDispose]()
      const death = await cell.death
      await this.#sleeper.over(death.reason, death.detail, death)
      throw this.#sleeper.gone()
    }
    await this.#goOn(cell, 'its memory was being copied')
    if (refused !== undefined) throw new Fault('SNAPSHOT_FAILED', `sandbox ${id} runs on: ${said(refused)}`, { cause: refused })
  }

  /** Of one that is asleep: as `copy`. Rejects with MEMORY_UNUSABLE. */
  async copyAsleep(folder: string, signal: AbortSignal): Promise<void> {
    const { record, places } = this.#sleeper
    await waking({ plan: record.plan, folder: places.memory, image: places.disk }, this.#parts.keeper, signal)
    await copyMemory(record.plan, places, folder, this.#parts.keeper, signal)
  }

  /** One that stands is let in again. */
  async #goOn(cell: Cell, what: string): Promise<void> {
    const { record } = this.#sleeper
    const contextsChanged = (contexts: ContextRecord[]) => this.#sleeper.contextsChanged(contexts)
    const again = await this.#parts.creating.again(record, cell, contextsChanged, freshDeadline(KEEPER_MS)).catch(async (cause) => {
      await cell[Symbol.asyncDispose]()
      await this.#sleeper.over('crash', `${what}, and it was not found again`, await cell.death)
      throw new Fault('SANDBOX_GONE', `sandbox ${record.id} was not found again: ${what}`, { cause })
    })
    again.processes.adopt(record.contexts.flatMap(({ pid }) => pid ?? []))
    this.#sleeper.settle(again)
  }
}

/** Why it was refused; undefined: it was done. */
function asked(cell: Cell, request: Parameters<Cell['ask']>[0]): Promise<unknown> {
  return cell.ask(request, freshDeadline(SLEEP_MS)).then(
    () => undefined,
    (failure: unknown) => failure ?? new Fault('INTERNAL', 'the keeper did not say why'),
  )
}

/** A keeper answers when it is done with what it was asked before. */
function stands(cell: Cell): Promise<boolean> {
  return cell.ask({ op: 'hello' }, freshDeadline(SLEEP_MS)).then(Boolean, () => false)
}

function said(failure: unknown): string {
  return failure instanceof Error ? failure.message : String(failure)
}
