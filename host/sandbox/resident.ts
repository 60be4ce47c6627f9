// biome-ignore-all lint/style/noExcessiveLinesPerFile: one state machine, whose transitions are to be read together
import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Death, Fault, WALLS } from '@caisson/wire'
import { bounded, freshDeadline, orAborted, unending } from '../lifetimes.ts'
import type { Store } from '../store/store.ts'
import { imageIn } from '../walls/disk-images.ts'
import type { Walls } from '../walls/walls.ts'
import { allocatedBytes } from './allocated.ts'
import { forget, layDown, sleepingPlace } from './asleep.ts'
import type { Creating } from './creating.ts'
import type { Entered, NetworkWish, SandboxEvent } from './fleet.ts'
import type { Given } from './given.ts'
import type { LiveSandbox } from './life.ts'
import { savesStates } from './machine.ts'
import { type ContextRecord, emptied, remains, type SandboxRecord, type Used } from './record.ts'
import { SLEEP_MS, Sleep, type Sleeper, type SleepParts } from './sleep.ts'
import { copySparse } from './sparse-copy.ts'
import { Turns } from './turns.ts'
import { Visitors } from './visitors.ts'
import { refusePause } from './workspace-life.ts'

const KEEPER_MS = 30_000
const NEEDS_ROOT = 'Files can be kept where the daemon runs as root.'
/** Time limit for state changes that the sandbox itself started. */
const SETTLE_MS = 30_000
/** Longer than a keeper may take to end its sandbox, plus the forced end after that. */
const FORCE_MS = 120_000
/** The whole disk may have to be written back first. Bounded, because a hanging keeper would otherwise block even a kill. */
const STOP_MS = 120_000
/** As above, for a disk that is copied in full. */
const COPY_MS = 300_000
const BOOT_MS = 90_000
/** Time given to a sandbox that traffic woke (E2B: at least five minutes). */
const WOKEN_MS = 300_000
/** Tells the sweep of a host that this folder's disk must be kept (walls/supervised.ts). */
const PAUSED_MARKER = 'paused'

export interface ResidentParts extends SleepParts {
  readonly store: Pick<Store, 'put'>
  readonly creating: Pick<Creating, 'again' | 'create' | 'reroute' | 'wake'>
  readonly walls: Pick<Walls, 'promises'>
  /** Folder for the disks of stopped sandboxes. */
  readonly keptFolder: string
  /** How long a paused sandbox keeps its processes, and with them its memory. */
  readonly frozenGraceMs: number
  readonly happened: (kind: SandboxEvent['kind'], record: SandboxRecord) => void
  /** Reports one line to the operator of this daemon. */
  readonly notice: (line: string) => void
}

/** Reserves room for a sandbox that is about to run. Disposed when it runs or has failed to. Rejects with the reason why there is no room. */
type Admit = (record: SandboxRecord) => Promise<Disposable>

/**
 * One sandbox of a daemon, through all its states. The keeper ends or freezes it at its time limit even without a daemon; this class takes note of that.
 * Changes of state are carried out one at a time and stored when they are done. If the stored state differs from the sandbox's own, the sandbox is right.
 */
export class Resident {
  readonly #parts: ResidentParts
  #record: SandboxRecord
  #live: LiveSandbox | undefined
  #entered: Entered | undefined
  readonly #visitors = new Visitors()
  readonly #turns = new Turns()
  readonly #sleep: Sleep
  #isStopping = false
  #grace: NodeJS.Timeout | undefined
  /** 0: nobody has entered it yet, so it counts as idle. */
  lastEnteredMs = 0

  constructor(parts: ResidentParts, record: SandboxRecord, live: LiveSandbox | undefined) {
    this.#parts = parts
    this.#record = record
    this.#sleep = new Sleep(parts, this.#sleeper())
    if (live !== undefined) this.#settle(live)
    this.#startGrace()
  }

  /** A sandbox past its end time counts as gone, even if its keeper has not removed it yet. */
  get record(): SandboxRecord {
    const { state, lifecycle, endMs } = this.#record
    if (state !== 'running' || lifecycle.onTimeout !== 'kill' || !this.#isOverdue) return this.#record
    return { ...this.#record, state: 'gone', reason: 'timeout: its time was over', goneMs: endMs }
  }

  /** Undefined unless it runs. */
  get live(): LiveSandbox | undefined {
    return this.#record.state === 'running' ? this.#live : undefined
  }

  /** For traffic. `admit` as in `resume`. Rejects with SANDBOX_GONE, CONFLICT, or ACCESS_DENIED for a sandbox that only its owner may wake. */
  async enter(admit: Admit, signal: AbortSignal): Promise<Entered> {
    this.lastEnteredMs = Date.now()
    if (this.#turns.isMoving) await this.#turns.settled(`sandbox ${this.#record.id}`, signal)
    if (this.#record.state === 'paused' && this.#record.lifecycle.autoResume) {
      if (this.#record.filesOnly) {
        throw new Fault('ACCESS_DENIED', `sandbox ${this.#record.id} was paused with its files only: traffic does not wake it`, {
          hint: 'Its owner resumes it (connect).',
        })
      }
      await this.resume({ timeoutMs: WOKEN_MS, memory: true }, admit, signal)
    }
    const entered = this.#entered
    if (entered === undefined || this.#live === undefined || this.#record.state !== 'running' || this.#isOverdue) throw this.#gone()
    return entered
  }

  /** Rejects with CONFLICT when it is paused already. */
  pause(wish: { memory: boolean }, signal: AbortSignal): Promise<void> {
    return this.#turns.take(async () => {
      const live = this.#running()
      refusePause(this.#record.plan)
      await this.#pause(live, wish.memory)
    }, signal)
  }

  /**
   * Resolves to false if it was running and only got more time. `admit` is called right before it runs again, because its state may have changed since the
   * call: it may have been about to be paused.
   */
  resume(wish: { timeoutMs: number; memory: boolean }, admit: Admit, signal: AbortSignal): Promise<boolean> {
    return this.#turns.take(async () => {
      if (this.#record.state === 'running' && !this.#isOverdue) {
        const endMs = Date.now() + wish.timeoutMs
        if (endMs > this.#record.endMs) await this.#deadline(wish.timeoutMs, endMs)
        return false
      }
      if (this.#record.state !== 'paused') throw this.#gone()
      using _admitted = await admit(this.#record)
      clearTimeout(this.#grace)
      if (this.#record.paused === 'frozen' && this.#live !== undefined) {
        if (wish.memory) await this.#thaw(this.#live, wish.timeoutMs)
        else await this.#stop(this.#live, true)
      }
      if (this.#record.paused === 'asleep' && wish.memory) await this.#sleep.wake(wish.timeoutMs)
      if (this.#record.state === 'paused') await this.#boot(wish.timeoutMs)
      this.#parts.happened('resumed', this.#record)
      return true
    }, signal)
  }

  setTimeout(timeoutMs: number, signal: AbortSignal): Promise<void> {
    return this.#turns.take(async () => {
      const live = this.#running()
      if (timeoutMs > 0) return this.#deadline(timeoutMs, Date.now() + timeoutMs)
      const { onTimeout, pauseMemory } = this.#record.lifecycle
      if (onTimeout === 'kill') await this.#kill('timeout', 'its time was set to none')
      else await this.#pause(live, pauseMemory)
    }, signal)
  }

  /** Stored before the rules apply: a later daemon judges the sandbox by the stored rules. */
  setNetwork({ network, egress }: NetworkWish, signal: AbortSignal): Promise<void> {
    return this.#turns.take(async () => {
      const { state, plan, request } = this.#record
      if (state === 'gone' || this.#isOverdue) throw this.#gone()
      // Without processes, its next boot applies these rules, whatever they are.
      const { bring, hold } = await this.#parts.creating.reroute(
        plan,
        network,
        this.#record.trusts === true || this.#live === undefined,
        signal,
      )
      if (bring !== null) await this.#running().bringTrust(bring, signal)
      await this.#update({ request: { ...request, network }, egress, ...(bring === null ? {} : { trusts: true }) })
      if (this.#live !== undefined) await hold()
    }, signal)
  }

  kill(signal: AbortSignal): Promise<void> {
    return this.#turns.take(() => this.#kill('kill', 'on request'), signal)
  }

  /** Copies its files, as of one moment, to a new host file; it keeps its state. Rejects with UNSUPPORTED without a disk of its own, or SNAPSHOT_FAILED. */
  copyDisk(to: string, signal: AbortSignal): Promise<void> {
    return this.#turns.take(async () => {
      if (this.#record.plan.disk.kind !== 'image') throw new Fault('UNSUPPORTED', 'it has no disk of its own', { hint: NEEDS_ROOT })
      if (this.#record.paused === 'stopped' || this.#record.paused === 'asleep') await copySparse(this.#kept, to, signal)
      else if (this.#live === undefined) throw this.#gone()
      else await this.#copyOf(this.#live, to)
    }, signal)
  }

  /** The keeper completes a copy even if the caller gives up, so a late one is removed. */
  async #copyOf(live: LiveSandbox, to: string): Promise<void> {
    const copying = live.ask({ op: 'copyDisk', to }, unending())
    const late = (cause: unknown) => {
      const remove = () => rm(to, { force: true })
      copying
        .then(remove, remove)
        .catch((failure: unknown) => this.#complain('a disk copy that came too late could not be removed', failure))
      return new Fault('SNAPSHOT_FAILED', `the disk of sandbox ${this.#record.id} was not copied within ${COPY_MS / 1000} s`, {
        hint: 'Try again, or pause it first: then nobody waits for its disk.',
        cause,
      })
    }
    await bounded(COPY_MS, unending(), (signal) => orAborted(copying, signal), late)
  }

  /** Upper bound for a copy's size on the host's disk: what its disk takes now, and all memory that it may have. */
  async copyTakes(memory: boolean): Promise<number> {
    const { plan, paused } = this.#record
    if (plan.disk.kind !== 'image') return 0
    const disk = await allocatedBytes(paused === 'stopped' || paused === 'asleep' ? this.#kept : imageIn(plan.dir))
    return (disk || plan.disk.bytes) + (memory ? (plan.machine?.memoryBytes ?? plan.limits.memoryBytes ?? 0) : 0)
  }

  /** Whether a copy with memory is possible in its current state. */
  get remembers(): boolean {
    return this.#sleeps && (this.#record.paused === 'asleep' || this.live !== undefined)
  }

  /**
   * Copies its memory and files, as of one moment, to a new host folder. It keeps its state, but its clients must reconnect. `lasts`: the copy must be
   * verifiable later, beyond the forks that it is made for. Rejects with UNSUPPORTED, CONFLICT when it has no memory, SNAPSHOT_FAILED, or MEMORY_UNUSABLE when
   * asleep.
   */
  copyMemory(folder: string, lasts: boolean, signal: AbortSignal): Promise<Pick<SandboxRecord, 'plan' | 'contexts'>> {
    return this.#turns.take(async () => {
      if (!this.#sleeps) throw this.#memoryless()
      if (this.#record.paused === 'asleep') await this.#sleep.copyAsleep(folder, signal)
      else {
        const live = this.#running()
        await layDown(folder, this.#record.plan)
        await this.#sleep.copy(live, folder, lasts)
      }
      const { plan, contexts } = this.#record
      return { plan, contexts }
    }, signal)
  }

  #memoryless(): Fault {
    const { wall } = this.#record.plan
    const able = WALLS.filter((name) => this.#parts.walls.promises(name).snapshot === 'memory')
    return new Fault('UNSUPPORTED', `memory: wall ${wall} copies files, not what runs`, {
      hint: `Leave memory out, or say false; a sandbox of wall ${able.join(' or ')} is copied with its memory.`,
    })
  }

  contextsChanged(contexts: readonly ContextRecord[]): void {
    // A sandbox that was let go has lost its connections, not its contexts.
    if (this.#record.state !== 'running' || this.#live === undefined) return
    this.#update({ contexts }).catch((failure: unknown) => this.#complain('its contexts could not be written down', failure))
  }

  /** For the end of the daemon; the sandbox lives on. */
  release(): void {
    clearTimeout(this.#grace)
    this.#visitors.cutOff()
    this.#live?.release()
  }

  /** Makes `live` the running sandbox. */
  #settle(live: LiveSandbox): void {
    this.#live = live
    const resident = this
    this.#entered = {
      live,
      get record() {
        return resident.#record
      },
      onLeave: (leave) => this.#visitors.add(leave),
    }
    live.onFrozen(() => {
      this.#turns
        .take(() => this.#clockFroze(live), freshDeadline(SETTLE_MS))
        .catch((failure: unknown) => this.#complain('it froze at its time limit, and that could not be noted', failure))
    })
    void live.ended.then((death) => this.#ended(live, death))
  }

  async #pause(live: LiveSandbox, memory: boolean): Promise<void> {
    if (!memory) return this.#stop(live, true)
    if (this.#sleeps) return this.#sleep.fall(live)
    this.#visitors.cutOff()
    await this.#freeze(live)
    await this.#froze()
  }

  /** Rejects with PAUSE_FAILED when its keeper does not answer; then it runs on. */
  #freeze(live: LiveSandbox): Promise<unknown> {
    return bounded(
      KEEPER_MS,
      unending(),
      (signal) => live.ask({ op: 'freeze' }, signal),
      (cause) => {
        // The keeper may still carry out the freeze; the next request that it reads then undoes it.
        const wallMs = Math.max(1, this.#record.endMs - Date.now())
        live.ask({ op: 'thaw', wallMs }, freshDeadline(KEEPER_MS)).catch(() => undefined)
        return this.#unpaused(KEEPER_MS, cause)
      },
    )
  }

  #unpaused(ms: number, cause: unknown): Fault {
    return new Fault('PAUSE_FAILED', `sandbox ${this.#record.id} is as it was: its keeper did not answer within ${ms / 1000} s`, {
      hint: 'Try again, or kill it: a kill is carried out by force.',
      cause,
    })
  }

  async #clockFroze(live: LiveSandbox): Promise<void> {
    if (this.#live !== live || this.#record.state !== 'running') return
    this.#visitors.cutOff()
    if (this.#record.lifecycle.pauseMemory && this.#sleeps) await this.#fellAsleep(live)
    else if (this.#record.lifecycle.pauseMemory) await this.#froze()
    else await this.#stop(live, true)
  }

  async #froze(): Promise<void> {
    await writeFile(join(this.#record.plan.dir, PAUSED_MARKER), '', { mode: 0o600 })
    await this.#update({ state: 'paused', paused: 'frozen', pausedMs: Date.now(), filesOnly: false })
    this.#parts.happened('paused', this.#record)
    this.#startGrace()
  }

  /** It must run to be saved: a frozen sandbox is thawed first. */
  async #fellAsleep(live: LiveSandbox): Promise<void> {
    await live.ask({ op: 'thaw', wallMs: SLEEP_MS }, freshDeadline(KEEPER_MS))
    try {
      await this.#sleep.fall(live)
    } catch (failure) {
      if (this.#live === undefined) throw failure
      this.#complain('its time was over, and it stays in memory', failure)
      await this.#live.ask({ op: 'freeze' }, freshDeadline(KEEPER_MS))
      await this.#froze()
    }
  }

  async #thaw(live: LiveSandbox, timeoutMs: number): Promise<void> {
    await live.ask({ op: 'thaw', wallMs: timeoutMs }, freshDeadline(KEEPER_MS))
    await rm(join(this.#record.plan.dir, PAUSED_MARKER), { force: true })
    await this.#update({ state: 'running', paused: null, pausedMs: null, endMs: Date.now() + timeoutMs })
  }

  /** Ends its processes and keeps its disk. Rejects with PAUSE_FAILED when its keeper does not answer. */
  async #stop(live: LiveSandbox, filesOnly: boolean): Promise<void> {
    this.#visitors.cutOff()
    this.#isStopping = true
    let death: Death
    try {
      const late = (cause: unknown) => this.#unpaused(STOP_MS, cause)
      death = await bounded(STOP_MS, unending(), (signal) => live.stop(this.#kept, signal), late)
    } catch (cause) {
      if (!(cause instanceof Fault) || cause.code !== 'LAUNCH_FAILED') throw cause
      throw new Fault('PAUSE_FAILED', `sandbox ${this.#record.id} is as it was: ${cause.message}`, { hint: NEEDS_ROOT, cause })
    } finally {
      this.#isStopping = false
    }
    await this.#stopped(death, filesOnly)
  }

  async #stopped(death: Death, filesOnly: boolean): Promise<void> {
    this.#live = undefined
    this.#entered = undefined
    if (!existsSync(this.#kept)) {
      await this.#over(death.reason === 'pause' ? 'crash' : death.reason, 'its disk was not kept', death)
      throw this.#gone()
    }
    const { state, pausedMs, contexts } = this.#record
    await this.#update({ state: 'paused', paused: 'stopped', pausedMs: pausedMs ?? Date.now(), filesOnly, contexts: emptied(contexts) })
    if (state === 'running') this.#parts.happened('paused', this.#record)
  }

  /** Boots it with new processes on its old files. If that fails, its state does not change. */
  async #boot(timeoutMs: number): Promise<void> {
    const { id, request, plan, env, metadata, lifecycle, contexts: before } = this.#record
    // A boot continues no process, not even of a sandbox that is asleep.
    const had = emptied(before)
    const given: Given = {
      id,
      owner: this.#record.owner,
      kept: { image: this.#kept, take: true },
      onWall: lifecycle.onTimeout === 'pause' ? 'freeze' : 'end',
      contexts: had,
      contextsChanged: (contexts) => this.contextsChanged(contexts),
    }
    // Its disk was written behind this wall, and must not be shown to another kernel, whatever wall the profile prefers by now.
    const wish = { ...request, wall: plan.wall, env: { ...env }, metadata: { ...metadata }, timeoutMs, leash: 'none' as const }
    const live = await this.#parts.creating.create(wish, freshDeadline(BOOT_MS), given)
    const endMs = Date.now() + timeoutMs
    await forget(this.#asleep)
    const contexts = live.contextRecords()
    await this.#update({ state: 'running', paused: null, pausedMs: null, filesOnly: false, endMs, contexts, plan: live.plan })
    this.#settle(live)
  }

  async #deadline(timeoutMs: number, endMs: number): Promise<void> {
    await this.#running().ask({ op: 'deadline', wallMs: timeoutMs }, freshDeadline(KEEPER_MS))
    await this.#update({ endMs })
    this.#parts.happened('timeout', this.#record)
  }

  async #kill(reason: 'kill' | 'timeout', detail: string): Promise<void> {
    if (this.#record.state === 'gone') throw this.#gone()
    clearTimeout(this.#grace)
    this.#visitors.cutOff()
    const death = this.#live === undefined ? undefined : await this.#end(this.#live)
    await rm(this.#kept, { force: true })
    await forget(this.#asleep)
    // It may have ended by itself first, for its own reason. A pause that completed too late is not one.
    if (death === undefined || death.reason === 'kill' || death.reason === 'pause') await this.#over(reason, detail, death)
    else await this.#over(death.reason, death.detail, death)
  }

  /** Ends it on request. The caller stores the reason, which may differ from what the keeper was told. */
  async #end(live: LiveSandbox): Promise<Death> {
    this.#isStopping = true
    try {
      return await live.kill(freshDeadline(FORCE_MS))
    } catch (failure) {
      this.#isStopping = false
      throw failure
    }
  }

  #ended(live: LiveSandbox, death: Death): void {
    if (this.#live !== live || this.#isStopping) return
    this.#visitors.cutOff()
    // A pause that was given up has been carried out by the keeper after all.
    const noted =
      death.reason === 'pause' ? this.#stopped(death, this.#record.paused !== 'frozen') : this.#over(death.reason, death.detail, death)
    noted.catch((failure: unknown) => this.#complain('its end could not be written down', failure))
  }

  /** Only the first reason is kept. */
  async #over(reason: string, detail: string, death: Used | undefined): Promise<void> {
    if (this.#record.state === 'gone') return
    clearTimeout(this.#grace)
    this.#live = undefined
    this.#entered = undefined
    // Set in memory first, even if the store fails: nobody may be told that it is alive.
    const used = death && { peakMemoryBytes: death.peakMemoryBytes, cpuUs: death.cpuUs }
    const over = { state: 'gone', paused: null, reason: `${reason}: ${detail}`, goneMs: Date.now(), contexts: [], used } as const
    this.#record = { ...this.#record, ...over }
    this.#parts.happened('gone', this.#record)
    this.#record = remains(this.#record)
    await this.#parts.store.put('sandbox', this.#record.id, this.#record)
  }

  /** Frees the memory of a frozen sandbox after the grace period. */
  #startGrace(): void {
    const { state, paused, pausedMs, plan } = this.#record
    if (state !== 'paused' || paused !== 'frozen' || plan.disk.kind !== 'image') return
    const giveUp = async () => {
      if (this.#record.paused !== 'frozen' || this.#live === undefined) return
      if (this.#sleeps) await this.#fellAsleep(this.#live)
      else await this.#stop(this.#live, false)
    }
    const complain = (failure: unknown) => this.#complain('it could not be stopped after its grace', failure)
    const leftMs = Math.max(0, (pausedMs ?? 0) + this.#parts.frozenGraceMs - Date.now())
    this.#grace = setTimeout(() => void this.#turns.take(giveUp, freshDeadline(SETTLE_MS)).catch(complain), leftMs)
    this.#grace.unref()
  }

  /** What `Sleep` needs of this sandbox. */
  #sleeper(): Sleeper {
    const resident = this
    return {
      get record() {
        return resident.#record
      },
      places: { disk: this.#kept, memory: this.#asleep },
      leave: (live) => {
        this.#visitors.cutOff()
        this.#live = this.#entered = undefined
        return live.letGo()
      },
      settle: (live) => this.#settle(live),
      update: (change) => this.#update(change),
      paused: () => this.#parts.happened('paused', this.#record),
      over: (reason, detail, death) => this.#over(reason, detail, death),
      gone: () => this.#gone(),
      contextsChanged: (contexts) => this.contextsChanged(contexts),
    }
  }

  /** Whether a pause with memory saves it to disk. */
  get #sleeps(): boolean {
    const { plan } = this.#record
    return this.#parts.walls.promises(plan.wall).snapshot === 'memory' && plan.disk.kind === 'image' && savesStates(plan)
  }

  get #asleep(): string {
    return sleepingPlace(this.#parts.keptFolder, this.#record.id)
  }

  get #kept(): string {
    return join(this.#parts.keptFolder, `${this.#record.id}.img`)
  }

  get #isOverdue(): boolean {
    return Date.now() > this.#record.endMs
  }

  #running(): LiveSandbox {
    if (this.#record.state === 'paused')
      throw new Fault('CONFLICT', `sandbox ${this.#record.id} is paused`, { hint: 'Resume it first (connect).' })
    if (this.#live === undefined) throw this.#gone()
    return this.#live
  }

  #gone(): Fault {
    const why = this.#record.state === 'paused' ? 'it is paused' : (this.#record.reason ?? 'its time is over')
    return new Fault('SANDBOX_GONE', `sandbox ${this.#record.id} does not run (${why})`)
  }

  async #update(change: Partial<SandboxRecord>): Promise<void> {
    this.#record = { ...this.#record, ...change }
    await this.#parts.store.put('sandbox', this.#record.id, this.#record)
  }

  #complain(what: string, failure: unknown): void {
    this.#parts.notice(`sandbox ${this.#record.id}: ${what}: ${failure instanceof Error ? failure.message : String(failure)}`)
  }
}
