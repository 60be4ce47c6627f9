import { join } from 'node:path'
import { Fault, type Plan, within } from '@caisson/wire'
import type { AuditLog } from '../audit/log.ts'
import type { Settings } from '../settings.ts'
import type { Template } from '../templates/template.ts'
import type { Cell } from '../walls/wall.ts'
import type { Walls } from '../walls/walls.ts'
import type { Admission } from './admission.ts'
import { forNobody } from './for-nobody.ts'
import { newId } from './ids.ts'

/** Time limit for restoring a mother and warming it up. */
const MAKE_MS = 120_000
/** Pause after a failure: each attempt costs the machine seconds. */
const REST_MS = 300_000
/** A mother on its host's leash needs no idle timeout, but the plan requires one. */
const LEASHED_IDLE_MS = 86_400_000
/** Each takes a hundred MiB and more, like any such machine. */
const MAX_MOTHERS = 4

export interface MothersParts {
  settings: Pick<Settings, 'home' | 'uid' | 'twinsLibrary' | 'zygoteIdleMs'>
  auditLog: AuditLog
  walls: Pick<Walls, 'launch'>
  admission: Pick<Admission, 'refuse'>
  /** Reports one line to the user who started this host. */
  notice: (line: string) => void
  /** This host is long-lived, so more sandboxes of the same kind will be asked for. */
  lasts: boolean
}

/**
 * Mothers: emulated machines that were restored from a saved state, have rehearsed a first run, and now idle. Further machines of that state, the twins, are
 * forked from them and inherit all code that their QEMU has translated (native/twins). There is one mother per state, while it is asked for and this host
 * lives. A machine without a mother is restored.
 */
export class Mothers implements AsyncDisposable {
  readonly #parts: MothersParts
  /** By folder of the state. */
  readonly #living = new Map<string, { readonly cell: Cell; readonly dir: string }>()
  readonly #restingUntilMs = new Map<string, number>()
  readonly #over = new AbortController()
  #making: Promise<void> = Promise.resolve()

  constructor(parts: MothersParts) {
    this.#parts = parts
  }

  /** The same plan, forked from a mother if there is one. */
  forked(plan: Plan): Plan {
    const folder = restoredFrom(plan)
    return withMother(plan, folder === undefined ? undefined : this.#living.get(folder)?.dir)
  }

  /** The plan without its mother. `why`: the mother failed to give a twin, and is ended. */
  without(plan: Plan, why: string | undefined): Plan {
    const folder = restoredFrom(plan)
    const mother = folder === undefined ? undefined : this.#living.get(folder)
    if (folder !== undefined && mother !== undefined && why !== undefined) {
      this.#living.delete(folder)
      this.#failed(folder, plan.template, plan.id, why)
      void mother.cell[Symbol.asyncDispose]()
    }
    return withMother(plan, undefined)
  }

  /** Call this when a machine was restored from this state, or can be. Starts a mother in the background, so that later machines are forked. */
  want(plan: Plan, template: Template): void {
    const { settings, lasts } = this.#parts
    const folder = restoredFrom(plan)
    if (folder === undefined || !lasts || settings.uid !== 0 || plan.engine?.platform !== 'tcg') return
    if (this.#living.has(folder) || (this.#restingUntilMs.get(folder) ?? 0) > Date.now()) return
    if (this.#living.size >= MAX_MOTHERS) return
    // No second attempt until this one has succeeded or failed.
    this.#restingUntilMs.set(folder, Date.now() + MAKE_MS)
    this.#making = this.#making.then(() => this.#make(folder, plan, template))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Fault('CANCELLED', 'the host ends'))
    await this.#making
    await Promise.all([...this.#living.values()].map(({ cell }) => cell[Symbol.asyncDispose]()))
  }

  async #make(folder: string, plan: Plan, template: Template): Promise<void> {
    // Other mothers may have been made while this one was queued.
    if (this.#over.signal.aborted || this.#living.size >= MAX_MOTHERS) return
    const { auditLog, admission } = this.#parts
    const mother = this.#plan(plan)
    try {
      admission.refuse()
      const cell = await this.#raised(mother, template, within(MAKE_MS, this.#over.signal))
      this.#living.set(folder, { cell, dir: mother.dir })
      cell.onDeath(() => this.#living.get(folder)?.cell === cell && this.#living.delete(folder))
      this.#restingUntilMs.delete(folder)
      auditLog.append({ kind: 'mother', template: template.name, sandbox: mother.id, outcome: 'started', detail: folder })
    } catch (failure) {
      if (!this.#over.signal.aborted)
        this.#failed(folder, template.name, mother.id, failure instanceof Error ? failure.message : String(failure))
    }
  }

  #failed(folder: string, template: string, sandbox: string, detail: string): void {
    this.#restingUntilMs.set(folder, Date.now() + REST_MS)
    this.#parts.auditLog.append({ kind: 'mother', template, sandbox, outcome: 'failed', detail })
    this.#parts.notice(`no machine is forked from another (${detail}); they are restored, which takes longer`)
  }

  async #raised(plan: Plan, template: Template, signal: AbortSignal): Promise<Cell> {
    const cell = await this.#parts.walls.launch(plan, signal)
    try {
      const { AgentConnection, walkAgain } = await import('./inside.ts')
      const agent = AgentConnection.to(cell.agentSocket)
      await walkAgain(agent, cell.ready.forked, plan, template, signal).finally(() => agent.close())
      await cell.ask({ op: 'serve' }, signal)
      return cell
    } catch (failure) {
      await cell[Symbol.asyncDispose]()
      throw failure
    }
  }

  #plan(plan: Plan): Plan {
    const { home, twinsLibrary, zygoteIdleMs } = this.#parts.settings
    const mother = forNobody(withMother(plan, undefined), newId('z'), home)
    const serve = {
      socket: join(mother.dir, 'twins.sock'),
      argv: [plan.engine?.program ?? ''],
      env: {},
      idleMs: zygoteIdleMs > 0 ? zygoteIdleMs : LEASHED_IDLE_MS,
    }
    const machine = mother.machine && { ...mother.machine, twins: twinsLibrary }
    return { ...mother, kind: 'zygote', serve, limits: { ...mother.limits, wallMs: null }, ...(machine && { machine }) }
  }
}

/** The folder of the state; undefined: this is no machine, or it is not restored. */
function restoredFrom({ engine, machine }: Plan): string | undefined {
  return machine !== undefined && engine?.warm?.op === 'restore' ? engine.warm.folder : undefined
}

function withMother(plan: Plan, mother: string | undefined): Plan {
  const { engine } = plan
  if (engine?.warm?.op !== 'restore') return plan
  const { op, folder, pid } = engine.warm
  return { ...plan, engine: { ...engine, warm: { op, folder, pid, ...(mother !== undefined && { mother }) } } }
}
