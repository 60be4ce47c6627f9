import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Fault, within } from '@caisson/wire'
import type { AuditLog } from '../audit/log.ts'
import { orAborted } from '../lifetimes.ts'
import type { Settings } from '../settings.ts'
import type { Template } from '../templates/template.ts'
import { answers } from '../walls/supervised.ts'
import type { Cell } from '../walls/wall.ts'
import type { Walls } from '../walls/walls.ts'
import { newId } from './ids.ts'
import { lock } from './lock.ts'
import { planZygote } from './plan.ts'

/** Importing all modules takes about a second, and longer from a cold disk. */
const START_MS = 60_000
/** A zygote on its host's leash needs no idle timeout, but the plan requires one. */
const LEASHED_IDLE_MS = 86_400_000
/** Pause after a failed start: each attempt costs the caller a second. */
const REST_MS = 60_000

export interface ZygoteParts {
  settings: Settings
  auditLog: AuditLog
  walls: Pick<Walls, 'launch' | 'sweepDead'>
  /** Reports one line to the user who started this host. */
  notice: (line: string) => void
}

/** Zygotes: warm interpreters that new sandboxes are given forks of. One per template, shared by all hosts of this state folder. */
export class Zygotes implements AsyncDisposable {
  readonly #parts: ZygoteParts
  readonly #starting = new Map<string, Promise<string | null>>()
  readonly #restingUntilMs = new Map<string, number>()
  readonly #leashed: Cell[] = []
  readonly #over = new AbortController()

  constructor(parts: ZygoteParts) {
    this.#parts = parts
  }

  /** Socket of the template's zygote, which is started if necessary; null: none is available, so interpreters start inside. */
  async socket(template: Template, signal: AbortSignal): Promise<string | null> {
    if (template.zygote === null) return null
    const dir = this.#dir(template)
    const socket = this.place(template)
    const starting = this.#starting.get(dir)
    if (starting !== undefined) return orAborted(starting, signal)
    // No liveness check: a launch that finds it dead reports that (`replace`), and all others save a round trip.
    if (existsSync(socket)) return socket
    return this.#begin(template, dir, socket, signal)
  }

  /** Its socket path, whether it lives or not. */
  place(template: Template): string {
    return join(this.#dir(template), 'zygote.sock')
  }

  /** Call this when a launch found the zygote dead or unresponsive. */
  async replace(template: Template, signal: AbortSignal): Promise<string | null> {
    const dir = this.#dir(template)
    return this.#starting.get(dir) ?? this.#begin(template, dir, this.place(template), signal)
  }

  /** Ends the zygotes that are on this host's leash. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Error('its host ends'))
    await Promise.allSettled(this.#starting.values())
    await Promise.all(this.#leashed.map((cell) => cell[Symbol.asyncDispose]()))
  }

  #dir(template: Template): string {
    return join(this.#parts.settings.home, 'zygotes', `${template.name}-${template.generation}`)
  }

  /** The start continues if the caller gives up, because others wait for it too. */
  #begin(template: Template, dir: string, socket: string, signal: AbortSignal): Promise<string | null> {
    if ((this.#restingUntilMs.get(dir) ?? 0) > Date.now()) return Promise.resolve(null)
    const started = this.#start(template, dir, socket).finally(() => this.#starting.delete(dir))
    this.#starting.set(dir, started)
    return orAborted(started, signal)
  }

  async #start(template: Template, dir: string, socket: string): Promise<string | null> {
    const { auditLog, walls, notice } = this.#parts
    const id = newId('z')
    try {
      const signal = within(START_MS, this.#over.signal)
      await using _held = await lock(`${dir}.lock`, signal)
      // Both must answer: the keeper of a zygote that just died still answers for a while.
      if ((await answers(join(dir, 'keeper.sock'))) && (await answers(socket))) return socket
      await walls.sweepDead(dir)
      const cell = await walls.launch(this.#plan(template, dir, id), signal)
      if (this.#parts.settings.zygoteIdleMs === 0) this.#leashed.push(cell)
      else cell.release()
      auditLog.append({ kind: 'zygote', template: template.name, sandbox: id, outcome: 'started', detail: '' })
      return socket
    } catch (failure) {
      // A failed audit record is an error for everybody; a failed zygote only makes starts slower.
      const detail = failure instanceof Fault ? failure.message : String(failure)
      auditLog.append({ kind: 'zygote', template: template.name, sandbox: id, outcome: 'failed', detail })
      if (this.#over.signal.aborted && failure instanceof Fault && failure.code === 'CANCELLED') return null
      this.#restingUntilMs.set(dir, Date.now() + REST_MS)
      notice(`the zygote of template ${template.name} did not start (${detail}); interpreters start cold, which takes longer`)
      return null
    }
  }

  #plan(template: Template, dir: string, id: string) {
    const { home, agent, uid, zygoteIdleMs } = this.#parts.settings
    const lingers = zygoteIdleMs > 0
    return planZygote(template, {
      root: uid === 0,
      home,
      agent,
      auditLog: this.#parts.auditLog.path,
      id,
      machineId: '',
      dir,
      idleMs: lingers ? zygoteIdleMs : LEASHED_IDLE_MS,
      leash: lingers ? 'none' : 'host',
    })
  }
}
