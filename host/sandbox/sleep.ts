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
/** Time to write some hundreds of MiB to a disk that may be busy. */
export const SLEEP_MS = 180_000

export interface SleepParts {
  readonly creating: Pick<Creating, 'again' | 'wake'>
  /** The keeper program, which computes checksums. */
  readonly keeper: string
}

/** The sandbox that is put to sleep: the part of a resident that `Sleep` may use. */
export interface Sleeper {
  readonly record: SandboxRecord
  /** Host paths of its disk while it does not run, and of its memory beside it. */
  readonly places: { readonly disk: string; readonly memory: string }
  /** Disconnects its clients, and reports nothing more of it until `settle`. */
  leave(live: LiveSandbox): Cell
  settle(live: LiveSandbox): void
  update(change: Partial<SandboxRecord>): Promise<void>
  paused(): void
  over(reason: string, detail: string, death: Used | undefined): Promise<void>
  gone(): Fault
  contextsChanged(contexts: readonly ContextRecord[]): void
}

/** Writes the memory of a sandbox to disk, and restores it. */
export class Sleep {
  readonly #parts: SleepParts
  readonly #sleeper: Sleeper

  constructor(parts: SleepParts, sleeper: Sleeper) {
    this.#parts = parts
    this.#sleeper = sleeper
  }

  /** Saves its memory to disk. Rejects with SANDBOX_GONE, or with PAUSE_FAILED: the message says whether it runs on or is paused with its files only. */
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
    // Its keeper was killed before it was done: a caller who relies on the memory must learn that it is lost.
    throw new Fault('PAUSE_FAILED', `sandbox ${id} is paused with its files alone: its memory was not written to its end`, {
      hint: 'Resume it: it boots anew.',
      cause: refused,
    })
  }

  /** Restores its processes from disk. If that fails, nothing has changed. */
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
    // The saved memory is out of date now.
    await forget(places.memory)
  }

  /** Copies its memory and disk, as of one moment, to that empty folder. It runs on, without its clients. Rejects with SNAPSHOT_FAILED or SANDBOX_GONE. */
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

  /** As `copy`, for a sandbox that is asleep. Rejects with MEMORY_UNUSABLE. */
  async copyAsleep(folder: string, signal: AbortSignal): Promise<void> {
    const { record, places } = this.#sleeper
    await waking({ plan: record.plan, folder: places.memory, image: places.disk }, this.#parts.keeper, signal)
    await copyMemory(record.plan, places, folder, this.#parts.keeper, signal)
  }

  /** Reconnects to a sandbox that still runs. */
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

/** Why the keeper refused; undefined: it was done. */
function asked(cell: Cell, request: Parameters<Cell['ask']>[0]): Promise<unknown> {
  return cell.ask(request, freshDeadline(SLEEP_MS)).then(
    () => undefined,
    (failure: unknown) => failure ?? new Fault('INTERNAL', 'the keeper did not say why'),
  )
}

/** Whether the sandbox still runs. The keeper answers only when it is done with the previous request. */
function stands(cell: Cell): Promise<boolean> {
  return cell.ask({ op: 'hello' }, freshDeadline(SLEEP_MS)).then(Boolean, () => false)
}

function said(failure: unknown): string {
  return failure instanceof Error ? failure.message : String(failure)
}
