import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { chmod, chown, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Engine, Fault, type Plan, within } from '@caisson/wire'
import { z } from 'zod'
import { AgentConnection } from '../agent/connection.ts'
import type { AuditLog } from '../audit/log.ts'
import type { Settings } from '../settings.ts'
import type { Template } from '../templates/template.ts'
import type { Walls } from '../walls/walls.ts'
import { newId } from './ids.ts'
import { lock } from './lock.ts'
import { warmUp } from './rehearsal.ts'
import { warmKey } from './warm-key.ts'

const MAKE_MS = 180_000
/** One that could not be made is not tried again for so long: each try costs seconds of the machine. */
const REST_MS = 60_000
/** Kinds of sandbox; of each a few dozen MiB. */
const MAX_STATES = 8
/** As runsc names it. */
const IMAGE = 'checkpoint.img'
const MADE = 'made.json'

/** The interpreter's number inside, and what its state must be to the bit. */
const Made = z.strictObject({ pid: z.int().positive(), sha256: z.string().regex(/^[0-9a-f]{64}$/) })
type Made = z.infer<typeof Made>

export interface WarmParts {
  settings: Pick<Settings, 'home'>
  auditLog: AuditLog
  walls: Pick<Walls, 'launch' | 'promises'>
  /** One line for whoever started this host. */
  notice: (line: string) => void
}

/**
 * Saved states of sandboxes with a warm interpreter, one per kind of sandbox, shared by all hosts of this state folder. The first sandbox of a kind starts
 * cold, and has a state made for those that come after it.
 */
export class WarmStates implements AsyncDisposable {
  readonly #parts: WarmParts
  readonly #folder: string
  /** Looked at once: their sums take a while. */
  readonly #known = new Map<string, Promise<Made | undefined>>()
  readonly #restingUntilMs = new Map<string, number>()
  readonly #over = new AbortController()
  #making: Promise<void> = Promise.resolve()

  constructor(parts: WarmParts) {
    this.#parts = parts
    this.#folder = join(parts.settings.home, 'warm')
  }

  /** The same sandbox, to be restored, where there is a state for it. */
  async restoring(plan: Plan, template: Template): Promise<Plan> {
    const key = this.#key(plan, template)
    const made = key === undefined ? undefined : await this.#find(key)
    if (key === undefined || made === undefined) return plan
    return withWarm(plan, { op: 'restore', folder: join(this.#folder, key), pid: made.pid })
  }

  /** One that could not be restored: the plan without, and the state is not tried again. */
  async starting(plan: Plan, why: string): Promise<Plan> {
    const warm = plan.engine?.warm
    if (warm?.op === 'restore') await this.#discard(warm.folder, plan.template, plan.id, why)
    return withWarm(plan, null)
  }

  /** A sandbox of this kind started cold. Nobody waits for what is made now. */
  want(plan: Plan, template: Template): void {
    const key = this.#key(plan, template)
    if (key === undefined || plan.engine?.warm?.op === 'restore' || (this.#restingUntilMs.get(key) ?? 0) > Date.now()) return
    // Until it is there, or has failed, nobody else is to ask for it.
    this.#restingUntilMs.set(key, Date.now() + MAKE_MS)
    this.#making = this.#making.then(() => this.#make(key, plan, template))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Fault('CANCELLED', 'the host ends'))
    await this.#making
  }

  #key(plan: Plan, template: Template): string | undefined {
    return this.#parts.walls.promises(plan.wall).restores ? warmKey(plan, template) : undefined
  }

  #find(key: string): Promise<Made | undefined> {
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const found = this.#read(key)
    this.#known.set(key, found)
    // Another host may make it.
    void found.then((made) => made === undefined && this.#known.delete(key))
    return found
  }

  /** Undefined: there is none, or none that is whole. */
  async #read(key: string): Promise<Made | undefined> {
    const folder = join(this.#folder, key)
    const text = await readFile(join(folder, MADE), 'utf8').catch(() => undefined)
    if (text === undefined) return undefined
    try {
      const made = Made.parse(JSON.parse(text))
      if ((await sum(join(folder, IMAGE))) === made.sha256) return made
      await this.#discard(folder, '', '', 'it is not what was written: its sum differs')
    } catch (failure) {
      await this.#discard(folder, '', '', said(failure))
    }
    return undefined
  }

  async #discard(folder: string, template: string, sandbox: string, detail: string): Promise<void> {
    this.#known.delete(folder.slice(this.#folder.length + 1))
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
      if ((await this.#find(key)) === undefined) {
        await this.#save(key, toBeSaved(plan, id, this.#parts.settings.home), template, signal)
        auditLog.append({ kind: 'warm', template: template.name, sandbox: id, outcome: 'saved', detail: key })
      }
      this.#restingUntilMs.delete(key)
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
      await using cell = await this.#parts.walls.launch(withWarm(plan, { op: 'save', folder: draft }), signal)
      const agent = AgentConnection.to(cell.agentSocket)
      let pid: number | undefined
      try {
        ;[pid] = await warmUp(agent, plan, template, signal)
      } finally {
        agent.close()
      }
      await cell.ask({ op: 'save' }, signal)
      await own(draft)
      const made = Made.parse({ pid, sha256: await sum(join(draft, IMAGE)) })
      await writeFile(join(draft, MADE), JSON.stringify(made), { mode: 0o600 })
      await rm(folder, { recursive: true, force: true })
      await rename(draft, folder)
    } finally {
      await rm(draft, { recursive: true, force: true })
    }
  }

  /** The latest stay. A sandbox that is about to be restored from another one starts cold. */
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

/** A sandbox like the one of this plan, for nobody. */
function toBeSaved(plan: Plan, id: string, home: string): Plan {
  return {
    ...plan,
    id,
    dir: `${home}/sandboxes/${id}`,
    deathRecord: `${home}/deaths/${id}.json`,
    leash: 'host',
    hostName: id,
    files: plan.files.map((file) => ({ ...file, content: file.content.replaceAll(plan.id, id) })),
    limits: { ...plan.limits, wallMs: MAKE_MS, onWall: 'end', cpuMilli: null },
  }
}

function withWarm(plan: Plan, warm: Engine['warm']): Plan {
  return plan.engine === null ? plan : { ...plan, engine: { ...plan.engine, warm } }
}

/** The engine wrote it with ids of the sandbox's own; it is to be read with those of others, and written by none. */
async function own(folder: string): Promise<void> {
  const image = join(folder, IMAGE)
  await chown(folder, 0, 0)
  await chown(image, 0, 0)
  await chmod(folder, 0o755)
  await chmod(image, 0o444)
}

async function sum(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(piece as Buffer)
  return hash.digest('hex')
}

function said(failure: unknown): string {
  return failure instanceof Error ? failure.message : String(failure)
}
