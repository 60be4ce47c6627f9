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

/** To be restored, and to walk what a first run does. */
const MAKE_MS = 120_000
/** One that could not be made is not tried again for so long: each try costs seconds of the machine. */
const REST_MS = 300_000
/** One that ends with its host has no need of an end of its own, but the plan wants one. */
const LEASHED_IDLE_MS = 86_400_000
/** Of each a hundred MiB and more, as of any such machine. */
const MAX_MOTHERS = 4

export interface MothersParts {
  settings: Pick<Settings, 'home' | 'uid' | 'twinsLibrary' | 'zygoteIdleMs'>
  auditLog: AuditLog
  walls: Pick<Walls, 'launch'>
  admission: Pick<Admission, 'refuse'>
  /** One line for whoever started this host. */
  notice: (line: string) => void
  /** Of a host that others of the kind are asked of again. */
  lasts: boolean
}

/**
 * Emulated machines that were restored from a saved state, have walked a first run, and stand still: others of that state are forked from them, with all that their
 * QEMU has translated (native/twins). One for each state, for as long as somebody asks for it and this host lives. Who has none is restored.
 */
export class Mothers implements AsyncDisposable {
  readonly #parts: MothersParts
  /** By the folder of the state. */
  readonly #living = new Map<string, { readonly cell: Cell; readonly dir: string }>()
  readonly #restingUntilMs = new Map<string, number>()
  readonly #over = new AbortController()
  #making: Promise<void> = Promise.resolve()

  constructor(parts: MothersParts) {
    this.#parts = parts
  }

  /** One that is to be restored: forked, where there is somebody to be forked from. */
  forked(plan: Plan): Plan {
    const folder = restoredFrom(plan)
    return withMother(plan, folder === undefined ? undefined : this.#living.get(folder)?.dir)
  }

  /** The plan without the one that it names. `why`: she gave no twin, and ends. */
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

  /** A machine was restored from there, or can be: if those after it can be forked, they are. Nobody waits for that. */
  want(plan: Plan, template: Template): void {
    const { settings, lasts } = this.#parts
    const folder = restoredFrom(plan)
    if (folder === undefined || !lasts || settings.uid !== 0 || plan.engine?.platform !== 'tcg') return
    if (this.#living.has(folder) || (this.#restingUntilMs.get(folder) ?? 0) > Date.now()) return
    if (this.#living.size >= MAX_MOTHERS) return
    // Until she is there, or that has failed, nobody else is to ask for her.
    this.#restingUntilMs.set(folder, Date.now() + MAKE_MS)
    this.#making = this.#making.then(() => this.#make(folder, plan, template))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Fault('CANCELLED', 'the host ends'))
    await this.#making
    await Promise.all([...this.#living.values()].map(({ cell }) => cell[Symbol.asyncDispose]()))
  }

  async #make(folder: string, plan: Plan, template: Template): Promise<void> {
    // Others were made while this one waited for its turn.
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

/** Undefined: it is not restored, or no machine. */
function restoredFrom({ engine, machine }: Plan): string | undefined {
  return machine !== undefined && engine?.warm?.op === 'restore' ? engine.warm.folder : undefined
}

function withMother(plan: Plan, mother: string | undefined): Plan {
  const { engine } = plan
  if (engine?.warm?.op !== 'restore') return plan
  const { op, folder, pid } = engine.warm
  return { ...plan, engine: { ...engine, warm: { op, folder, pid, ...(mother !== undefined && { mother }) } } }
}
