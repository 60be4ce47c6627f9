import type { CreateRequest, Network, Plan } from '@caisson/wire'
import type { Denials } from '../airlock/denials.ts'
import type { Exits } from '../airlock/exits.ts'
import type { AuditLog } from '../audit/log.ts'
import { Undos } from '../lifetimes.ts'
import type { Scanner } from '../scan/scanner.ts'
import type { Settings } from '../settings.ts'
import type { Traces } from '../telemetry/telemetry.ts'
import type { Cell } from '../walls/wall.ts'
import type { Walls } from '../walls/walls.ts'
import { admitted, readmitted } from './admitted.ts'
import { type Decided, Deciding, scanOf } from './deciding.ts'
import { makeDiskImage } from './disk.ts'
import { Examination } from './examination.ts'
import { type ShownFolder, showFolder } from './folder.ts'
import type { Assignment, Given, Sha256, Waiting } from './given.ts'
import { type Launched, launchOnce, launchWarmest } from './launching.ts'
import type { LiveSandbox } from './life.ts'
import type { Belonging, LifeParts } from './life-parts.ts'
import { outline, sha256 } from './outline.ts'
import { planned } from './planned.ts'
import type { ContextRecord, SandboxRecord } from './record.ts'
import { contextsBefore, remembering } from './remembered.ts'
import { type Rerouting, rerouted } from './rerouting.ts'
import { trustVariables } from './trust.ts'
import type { WarmStates } from './warm-states.ts'
import { Workspaces } from './workspaces.ts'
import type { Zygotes } from './zygote.ts'

export interface CreatingParts {
  settings: Settings
  auditLog: AuditLog
  walls: Pick<Walls, 'launch' | 'engine' | 'promises'>
  zygotes: Zygotes
  warm: Pick<WarmStates, 'restored' | 'restoring' | 'starting' | 'want'>
  exits: Exits
  scanner: Scanner
  denials: Denials
  /** First letter of ids: `i` for sandboxes of a daemon, `e` for those that end with the host that made them. */
  idKind: 'i' | 'e'
  traces: Traces
  notice: (line: string) => void
}

type Told = (contexts: ContextRecord[]) => void
type ToldOf = (id: string, contexts: ContextRecord[]) => void
/** `owner` undefined: the operator, or not assigned yet. */
type Whose = { readonly owner: string | undefined; readonly env: Readonly<Record<string, string>> }
type Standing = Pick<LifeParts, 'plan' | 'cell' | 'template' | 'agent' | 'forked'> & Pick<Waiting, 'scan'>
/** What the record of an adopted sandbox must provide. */
type Adopted = Pick<SandboxRecord, 'owner' | 'request' | 'plan' | 'env' | 'contexts' | 'trusts'>

/** Turns a request into a running sandbox. */
export class Creating {
  readonly #parts: CreatingParts
  readonly #deciding: Deciding
  readonly #workspaces: Workspaces
  #inside: Promise<typeof import('./inside.ts')> | undefined

  constructor(parts: CreatingParts) {
    this.#parts = parts
    this.#workspaces = new Workspaces(parts.settings.home)
    this.#deciding = new Deciding(parts)
  }

  /** How requests are resolved with the profiles and templates of this host. */
  get deciding(): Pick<Deciding, 'claim' | 'network' | 'wallAtLeast' | 'workspace'> {
    return this.#deciding
  }

  /** As of `Workspaces`. */
  resting(owner: string): Promise<ReadonlyMap<string, number>> {
    return this.#workspaces.resting(owner)
  }

  /** The plan that this request would get. Nothing is built or started. */
  async plan(request: CreateRequest, signal: AbortSignal): Promise<Plan> {
    const decided = await this.#deciding.decide(request, signal)
    const { template, wall, profile } = decided
    await using shown = await showFolder(decided.request, profile, false, signal)
    const isForked = template.zygote !== null && this.#deciding.forks(wall.name)
    const workspace = await this.#deciding.workspace(request, signal)
    const given = workspace === undefined ? {} : { kept: this.#workspaces.kept(workspace.name) }
    return planned(this.#parts, decided, shown, isForked ? this.#parts.zygotes.place(template) : null, given)
  }

  /** Undefined: the files are deleted with the sandbox, or come from elsewhere. */
  async #claim(request: CreateRequest, given: Given, signal: AbortSignal) {
    const wish = await this.#deciding.workspace(request, signal)
    if (wish === undefined || given.kept !== undefined) return undefined
    const { kept, diskMiB = request.diskMiB, ...claimed } = await this.#workspaces.claim(wish, given.owner, signal)
    return { ...claimed, given: { ...given, kept }, request: diskMiB === undefined ? request : { ...request, diskMiB } }
  }

  /** Changes the network rules of a running sandbox (rerouting.ts). */
  reroute(plan: Plan, network: Network, trusts: boolean, signal: AbortSignal): Promise<Rerouting> {
    return rerouted(this.#parts.exits, plan, network, trusts, signal)
  }

  async create(asked: CreateRequest, signal: AbortSignal, told: Given = {}): Promise<LiveSandbox> {
    await using undo = new Undos()
    // Held exclusively until its disk has been taken.
    await using workspace = await this.#claim(asked, told, signal)
    const { request, given } = { request: asked, given: told, ...workspace }
    const { decided, plan, shown } = await this.#parts.traces.span('plan', {}, async () => {
      const decided = await this.#deciding.decide(request, signal)
      const shown = await showFolder(decided.request, decided.profile, true, signal)
      undo.add(() => shown[Symbol.asyncDispose]())
      const cold = planned(this.#parts, decided, shown, await this.#zygote(decided, signal), given)
      const plan = await this.#from(cold, decided, given, signal)
      await makeDiskImage(plan.disk, signal)
      return { decided, plan, shown }
    })
    const { template } = decided
    const { metadata = {}, env = {} } = decided.request
    // The audit record comes first: what cannot be recorded must not happen.
    this.#recordCreate(plan, metadata, sha256(plan, decided.profile))
    const launch = () => this.#parts.traces.span('launch', {}, () => this.#raise(plan, decided, given, signal))
    const { cell, built, agent } = await (workspace === undefined ? launch() : workspace.behind(launch))
    undo.add(() => cell[Symbol.asyncDispose]())
    const { plantFiles } = await this.#insides()
    const standing = { plan: built, cell, template, agent, forked: cell.ready.forked, scan: scanOf(decided) }
    const afterDeath = () => this.#tidy(shown, plan.id)
    const belonging = this.#belonging(standing, { owner: given.owner, env })
    const sandbox = await this.#alive(standing, belonging, given.contextsChanged, { ...contextsBefore(given), afterDeath })
    sandbox.begin()
    if (given.remembered !== undefined) {
      sandbox.processes.adopt(given.remembered.contexts.flatMap(({ pid }) => pid ?? []))
      await sandbox.told(signal)
    }
    await plantFiles(sandbox, this.#parts.exits, given.kept === undefined ? null : this.#parts.notice, signal)
    undo.move()
    if (given.remembered === undefined) this.#parts.warm.want(built, template)
    return sandbox
  }

  /** What the sandbox starts from: another one's memory, the saved state of its kind, or nothing. */
  #from(cold: Plan, { template }: Decided, { remembered }: Given, signal: AbortSignal): Promise<Plan> {
    return remembered === undefined ? this.#parts.warm.restoring(cold, template) : remembering(cold, remembered, signal)
  }

  /** Removes what was made in the caller's folder. A failure is only reported. */
  async #tidy(shown: ShownFolder, id: string): Promise<void> {
    try {
      await shown[Symbol.asyncDispose]()
    } catch (failure) {
      this.#parts.notice(`sandbox ${id} left something in its folder: ${failure instanceof Error ? failure.message : String(failure)}`)
    }
  }

  /** Makes a sandbox for the pool. */
  async prepare(request: CreateRequest, contextsChanged: ToldOf, signal: AbortSignal): Promise<Waiting> {
    const decided = await this.#deciding.decide({ ...request, leash: 'host', timeoutMs: null }, signal)
    const { template } = decided
    await using shown = await showFolder(decided.request, decided.profile, true, signal)
    const cold = planned(this.#parts, decided, shown, await this.#zygote(decided, signal))
    const plan = await this.#parts.warm.restoring(cold, template)
    await makeDiskImage(plan.disk, signal)
    const { cell, built, agent } = await this.#raise(plan, decided, {}, signal)
    await using undo = new Undos()
    undo.add(() => cell[Symbol.asyncDispose]())
    undo.add(() => agent.close())
    const forked = await this.#warm({ plan: built, cell, template, agent, forked: cell.ready.forked }, signal)
    const standing = { plan: built, cell, template, agent, forked, scan: scanOf(decided) }
    const expected = this.#belonging(standing, { owner: undefined, env: {} })
    const live = await this.#alive(standing, expected, (contexts) => contextsChanged(built.id, contexts))
    // Most callers set no variables, so the interpreter begins early. Beginning twice would put PYTHONPATH into the module path twice.
    if (expected.env['PYTHONPATH'] === undefined) live.begin()
    undo.move()
    this.#parts.warm.want(built, template)
    return { plan: built, cell, template, live, scan: standing.scan, sha256: sha256(built, decided.profile) }
  }

  /** Whether it was started cold, while a sandbox made now would be restored from a saved state. */
  async isOutdone({ plan, template }: Pick<Waiting, 'plan' | 'template'>): Promise<boolean> {
    return plan.engine !== null && plan.engine.warm === null && (await this.#parts.warm.restoring(plan, template)) !== plan
  }

  /** Gives a pooled sandbox to its owner. Rejects when it died before that; the sandbox is then ended in the background. */
  async assign(waiting: Waiting, life: Assignment, signal: AbortSignal): Promise<LiveSandbox> {
    const { wallMs, onWall } = life
    const plan: Plan = { ...waiting.plan, leash: 'none', limits: { ...waiting.plan.limits, wallMs, onWall } }
    this.#recordCreate(plan, life.metadata, waiting.sha256)
    await using undo = new Undos()
    undo.add(() => void waiting.cell[Symbol.asyncDispose]())
    const assigned = waiting.cell.ask({ op: 'assign', leash: 'none', wallMs, onWall }, signal)
    // Runs while the keeper handles its own request.
    const { live } = waiting
    live.giveTo(this.#belonging({ ...waiting, plan }, life))
    const [{ plantFiles }] = await Promise.all([this.#insides(), assigned])
    await plantFiles(live, this.#parts.exits, null, signal)
    undo.move()
    return live
  }

  /** Adopts a sandbox that outlived the host that made it. */
  async adopt(record: Adopted, cell: Cell, contextsChanged: Told, signal: AbortSignal): Promise<LiveSandbox> {
    await readmitted(this.#parts, record.plan, () => this.#egress(record, signal), cell, signal)
    return this.again(record, cell, contextsChanged, signal)
  }

  /** Wakes a sandbox from its saved memory; the record has the plan for that. Rejects as `create` does. */
  async wake(record: Adopted, contextsChanged: Told, signal: AbortSignal): Promise<LiveSandbox> {
    const { exits, walls } = this.#parts
    await using undo = new Undos()
    const profile = await this.#deciding.profileOf(record.request, signal)
    this.#recordCreate(record.plan, record.request.metadata ?? {}, sha256(record.plan, profile))
    const launch = async () => ({ cell: await walls.launch(record.plan, signal) })
    const { cell } = await admitted(exits, record.plan, await this.#egress(record, signal), launch, signal)
    undo.add(() => cell[Symbol.asyncDispose]())
    const sandbox = await this.again(record, cell, contextsChanged, signal)
    undo.move()
    return sandbox
  }

  /** Reconnects to a running sandbox that the airlock knows already. */
  async again(record: Adopted, cell: Cell, contextsChanged: Told, signal: AbortSignal): Promise<LiveSandbox> {
    const template = await this.#deciding.template(record.plan.template, signal)
    const scan = await this.#deciding.scan(record.request, signal)
    const { AgentConnection } = await this.#insides()
    const standing = { plan: record.plan, cell, template, agent: AgentConnection.to(cell.agentSocket), forked: cell.ready.forked, scan }
    const was = { adopted: record.contexts, trustsLate: record.trusts === true }
    return await this.#alive(standing, this.#belonging(standing, record), contextsChanged, was)
  }

  #insides(): Promise<typeof import('./inside.ts')> {
    this.#inside ??= import('./inside.ts')
    return this.#inside
  }

  #belonging({ plan, template, scan }: Pick<Standing, 'plan' | 'template' | 'scan'>, { owner, env }: Whose): Belonging {
    const { auditLog, exits, scanner } = this.#parts
    const whole = { ...template.env, ...trustVariables(plan), ...env, ...exits.planted(plan.id) }
    return { plan, owner, env: whole, examination: new Examination(scanner, scan, { id: plan.id, owner }, auditLog) }
  }

  async #alive(
    standing: Standing,
    belonging: Belonging,
    contextsChanged: Told = () => undefined,
    {
      adopted = null,
      kept = [],
      renews = false,
      trustsLate = false,
      afterDeath,
    }: Partial<Pick<LifeParts, 'adopted' | 'kept' | 'renews' | 'trustsLate' | 'afterDeath'>> = {},
  ): Promise<LiveSandbox> {
    const { template } = standing
    const { LiveSandbox } = await this.#insides()
    return new LiveSandbox({
      ...standing,
      ...belonging,
      auditLog: this.#parts.auditLog,
      denials: this.#parts.denials,
      freshZygote: (signal) => this.#parts.zygotes.replace(template, signal),
      contextsChanged,
      adopted,
      kept,
      renews,
      trustsLate,
      ...(afterDeath === undefined ? {} : { afterDeath }),
    })
  }

  #recordCreate(plan: Plan, metadata: Record<string, string>, sha256: Sha256): void {
    const { profile, template, wall, id } = plan
    this.#parts.auditLog.append({ kind: 'create', sandbox: id, profile, template, wall, sha256, metadata, plan: outline(plan) })
  }

  /** Warm interpreters: those that were forked with the sandbox, or else one that is started inside. */
  async #warm({ plan, template, agent, forked }: Omit<Standing, 'scan'>, signal: AbortSignal): Promise<readonly number[]> {
    const { rehearse, warmUp } = await this.#insides()
    for (const pid of forked) await rehearse(agent, pid, plan, template, signal)
    return forked.length > 0 || this.#deciding.forks(plan.wall) ? forked : warmUp(agent, plan, template, 'usual', signal)
  }

  /** The airlock is told first. If the sandbox is to continue a memory that cannot be restored, the launch fails; it never starts cold instead. */
  #raise(plan: Plan, { template, egress }: Decided, { remembered }: Given, signal: AbortSignal): Promise<Launched> {
    const launch = () =>
      remembered === undefined
        ? launchWarmest(this.#parts, plan, template, this.#insides(), signal)
        : launchOnce(this.#parts, plan, this.#insides(), signal)
    return admitted(this.#parts.exits, plan, egress, launch, signal)
  }

  /** What an adopted sandbox may reach; null: nothing. */
  async #egress({ request, plan }: Adopted, signal: AbortSignal): Promise<Decided['egress']> {
    if (plan.network.mode === 'none') return null
    return this.#parts.exits.egress(await this.#deciding.network(request, signal), signal)
  }

  /** Null: interpreters are started inside. */
  async #zygote({ template, wall }: Decided, signal: AbortSignal): Promise<string | null> {
    return this.#deciding.forks(wall.name) ? this.#parts.zygotes.socket(template, signal) : null
  }
}
