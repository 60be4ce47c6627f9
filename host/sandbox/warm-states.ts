import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type Engine, Fault, type Plan, within } from '@caisson/wire'
import { z } from 'zod'
import type { Settings } from '../settings.ts'
import type { Template } from '../templates/template.ts'
import type { Walls } from '../walls/walls.ts'
import { forNobody } from './for-nobody.ts'
import { newId } from './ids.ts'
import { lock } from './lock.ts'
import { savesStates } from './machine.ts'
import { Mothers, type MothersParts } from './mothers.ts'
import { own, STATE_FILES, Sums, sums } from './state-files.ts'
import { warmKey } from './warm-key.ts'

/** An emulated machine imports pandas and the like in 15 seconds; if it shares its CPUs with ten others, in minutes. */
const MAKE_MS = 600_000
/** Pause after a failure: each attempt costs the machine seconds. */
const REST_MS = 60_000
/** Failures within this time are taken to have one cause. */
const SAME_MS = 60_000
/** Kinds of sandbox; each state takes a few dozen MiB. */
const MAX_STATES = 8
const MADE = 'made.json'

/** `pid`: the warm interpreter's pid inside, if the template has one. `sums`: checksums of the state's files. */
const Made = z.strictObject({ pid: z.int().positive().nullable(), sums: Sums })
type Made = z.infer<typeof Made>

export interface WarmParts extends MothersParts {
  settings: Pick<Settings, 'keeper' | 'savesStates'> & MothersParts['settings']
  walls: Pick<Walls, 'launch' | 'promises' | 'easeState'>
}

/**
 * Saved states of sandboxes with a warm interpreter, one per kind of sandbox, shared by all hosts of this state folder. The first sandbox of a kind starts
 * cold, and triggers the making of a state for later ones.
 */
export class WarmStates implements AsyncDisposable {
  readonly #parts: WarmParts
  readonly #folder: string
  /** Verified states. Cached, because checksums take a while. */
  readonly #known = new Map<string, Promise<Made | undefined>>()
  /** By folder: the time of the first failed restore since the last successful one. */
  readonly #failedMs = new Map<string, number>()
  readonly #restingUntilMs = new Map<string, number>()
  readonly #over = new AbortController()
  readonly #mothers: Mothers
  #making: Promise<void> = Promise.resolve()
  /** Kinds whose state is being made or queued. */
  #queued = 0

  constructor(parts: WarmParts) {
    this.#parts = parts
    this.#mothers = new Mothers(parts)
    this.#folder = join(parts.settings.home, 'warm')
  }

  /** The plan, restored from a saved state if its kind has one. */
  async restoring(plan: Plan, template: Template): Promise<Plan> {
    const key = this.#key(plan, template)
    const made = key === undefined ? undefined : await this.#find(key, plan)
    if (key === undefined || made === undefined) return plan
    return this.#mothers.forked(withWarm(plan, { op: 'restore', folder: join(this.#folder, key), pid: made.pid }))
  }

  /** After a failed fork: the same plan, restored from the state. `why`: the mother caused the failure. */
  restored(plan: Plan, why: string | undefined): Plan {
    return this.#mothers.without(plan, why)
  }

  /**
   * After a failed restore: the plan for a cold start. One failure is forgiven, since the machine may just have stalled; a state that fails again later is
   * discarded.
   */
  async starting(plan: Plan, why: string): Promise<Plan> {
    const { template, id, engine } = plan
    const warm = engine?.warm
    if (warm?.op !== 'restore') return plan
    const before = this.#failedMs.get(warm.folder) ?? Number.POSITIVE_INFINITY
    if (Date.now() - before > SAME_MS) await this.#discard(warm.folder, template, id, why)
    else {
      this.#failedMs.set(warm.folder, Math.min(before, Date.now()))
      this.#parts.auditLog.append({ kind: 'warm', template, sandbox: id, outcome: 'failed', detail: why })
      this.#parts.notice(`a sandbox was not restored from its saved state (${why}); it starts cold, and others try it again`)
    }
    return withWarm(plan, null)
  }

  /** Call this when a sandbox of this kind runs. If it started cold, a state is made in the background. */
  want(plan: Plan, template: Template): void {
    const key = this.#key(plan, template)
    const warm = plan.engine?.warm
    if (warm?.op === 'restore') {
      this.#failedMs.delete(warm.folder)
      this.#mothers.want(plan, template)
    }
    if (key === undefined || warm?.op === 'restore' || (this.#restingUntilMs.get(key) ?? 0) > Date.now()) return
    // Callers define kinds by their requests, and no more states than these are kept.
    if (this.#queued >= MAX_STATES) return
    this.#queued += 1
    // No second attempt until this one has succeeded or failed.
    this.#restingUntilMs.set(key, Date.now() + MAKE_MS)
    const make = () => this.#make(key, plan, template)
    this.#making = this.#making.then(make).finally(() => {
      this.#queued -= 1
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Fault('CANCELLED', 'the host ends'))
    await this.#making
    await this.#mothers[Symbol.asyncDispose]()
  }

  #key(plan: Plan, template: Template): string | undefined {
    const { settings, walls } = this.#parts
    // runsc cannot restore as an ordinary user ("Rootless mode not supported with restore").
    if (plan.wall === 'gvisor' && settings.uid !== 0) return undefined
    return settings.savesStates && walls.promises(plan.wall).restores !== 'no' && savesStates(plan) ? warmKey(plan, template) : undefined
  }

  #find(key: string, plan: Plan): Promise<Made | undefined> {
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const found = this.#read(key, plan)
    this.#known.set(key, found)
    // Not cached: another host may make it.
    void found.then((made) => made === undefined && this.#known.delete(key))
    return found
  }

  /** Undefined: there is no state, or it is damaged. */
  async #read(key: string, { wall }: Plan): Promise<Made | undefined> {
    const folder = join(this.#folder, key)
    const text = await readFile(join(folder, MADE), 'utf8').catch(() => undefined)
    if (text === undefined) return undefined
    try {
      const made = Made.parse(JSON.parse(text))
      const found = await sums(this.#parts.settings.keeper, folder, STATE_FILES[wall], this.#over.signal)
      if (isDeepStrictEqual(found, made.sums)) return made
      await this.#discard(folder, '', '', 'it is not what was written: its sum differs')
    } catch (failure) {
      await this.#discard(folder, '', '', said(failure))
    }
    return undefined
  }

  async #discard(folder: string, template: string, sandbox: string, detail: string): Promise<void> {
    this.#known.delete(folder.slice(this.#folder.length + 1))
    this.#failedMs.delete(folder)
    await rm(folder, { recursive: true, force: true })
    this.#parts.auditLog.append({ kind: 'warm', template, sandbox, outcome: 'discarded', detail })
    this.#parts.notice(`a saved state was discarded (${detail}); sandboxes start cold until another is made`)
  }

  async #make(key: string, plan: Plan, template: Template): Promise<void> {
    const { auditLog, notice } = this.#parts
    const id = newId('w')
    if (this.#over.signal.aborted) return
    try {
      const signal = within(MAKE_MS, this.#over.signal)
      await mkdir(this.#folder, { recursive: true, mode: 0o700 })
      await using _held = await lock(join(this.#folder, `${key}.lock`), signal)
      if ((await this.#find(key, plan)) === undefined) {
        await this.#save(key, toBeSaved(plan, id, this.#parts.settings.home), template, signal)
        auditLog.append({ kind: 'warm', template: template.name, sandbox: id, outcome: 'saved', detail: key })
      }
      this.#restingUntilMs.delete(key)
      const restored = await this.restoring(plan, template)
      if (restored.engine?.warm?.op === 'restore') this.#mothers.want(restored, template)
      await this.#prune()
    } catch (failure) {
      this.#restingUntilMs.set(key, Date.now() + REST_MS)
      if (this.#over.signal.aborted) return
      auditLog.append({ kind: 'warm', template: template.name, sandbox: id, outcome: 'failed', detail: said(failure) })
      notice(`no state of a warm sandbox could be saved (${said(failure)}); they start cold, which takes longer`)
    }
  }

  async #save(key: string, plan: Plan, template: Template, signal: AbortSignal): Promise<void> {
    const folder = join(this.#folder, key)
    const draft = `${folder}.partial`
    await rm(draft, { recursive: true, force: true })
    await mkdir(draft, { mode: 0o700 })
    try {
      const pid = await this.#written(withWarm(plan, { op: 'save', folder: draft }), template, signal)
      const names = STATE_FILES[plan.wall]
      for (const name of names) await this.#ease(plan, join(draft, name), signal)
      await own(draft, names)
      const made = Made.parse({ pid, sums: await sums(this.#parts.settings.keeper, draft, names, signal) })
      await writeFile(join(draft, MADE), JSON.stringify(made), { mode: 0o600 })
      await rm(folder, { recursive: true, force: true })
      await rename(draft, folder)
    } finally {
      await rm(draft, { recursive: true, force: true })
    }
  }

  async #ease({ wall }: Plan, file: string, signal: AbortSignal): Promise<void> {
    if (await this.#parts.walls.easeState(wall, file, signal)) return
    this.#parts.notice(`a saved state of wall ${wall} has a form that is not known; restoring takes longer`)
  }

  /** Pid inside of the interpreter in the state, or null. */
  async #written(plan: Plan, template: Template, signal: AbortSignal): Promise<number | null> {
    const { walls } = this.#parts
    await using cell = await walls.launch(plan, signal)
    const { AgentConnection, warmUp } = await import('./inside.ts')
    const agent = AgentConnection.to(cell.agentSocket)
    const imports = walls.promises(plan.wall).restores === 'mapped' ? 'large' : 'usual'
    const [pid = null] = await warmUp(agent, plan, template, imports, signal).finally(() => agent.close())
    await cell.ask({ op: 'save' }, signal)
    return pid
  }

  /** Keeps the latest. A sandbox that is about to be restored from a removed one starts cold. */
  async #prune(): Promise<void> {
    const names = (await readdir(this.#folder)).filter((name) => /^[0-9a-f]{16}$/.test(name))
    const found = await Promise.all(names.map(async (name) => ({ name, ms: (await stat(join(this.#folder, name))).mtimeMs })))
    for (const { name } of found.sort((one, other) => other.ms - one.ms).slice(MAX_STATES)) {
      this.#known.delete(name)
      await rm(join(this.#folder, name), { recursive: true, force: true })
      await rm(join(this.#folder, `${name}.lock`), { force: true })
    }
  }
}

/** Its time limit is that of the making. */
function toBeSaved(plan: Plan, id: string, home: string): Plan {
  const saved = forNobody(plan, id, home)
  return { ...saved, limits: { ...saved.limits, wallMs: MAKE_MS } }
}

function withWarm(plan: Plan, warm: Engine['warm']): Plan {
  return plan.engine === null ? plan : { ...plan, engine: { ...plan.engine, warm } }
}

function said(failure: unknown): string {
  return failure instanceof Error ? failure.message : String(failure)
}
