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

/** Importing everything takes about a second; a cold disk takes longer. */
const START_MS = 60_000
/** One that ends with its host has no need of an end of its own, but the plan wants one. */
const LEASHED_IDLE_MS = 86_400_000
/** A template whose zygote would not start is not tried again for so long: each try costs the caller a second. */
const REST_MS = 60_000

export interface ZygoteParts {
  settings: Settings
  auditLog: AuditLog
  walls: Pick<Walls, 'launch' | 'sweepDead'>
  /** One line for whoever started this host. */
  notice: (line: string) => void
}

/** The warmed interpreters, one per template, shared by all hosts of this state folder. */
export class Zygotes implements AsyncDisposable {
  readonly #parts: ZygoteParts
  readonly #starting = new Map<string, Promise<string | null>>()
  readonly #restingUntilMs = new Map<string, number>()
  readonly #leashed: Cell[] = []
  readonly #over = new AbortController()

  constructor(parts: ZygoteParts) {
    this.#parts = parts
  }

  /** Where the template's zygote listens, started if need be; null when there is none to be had: then interpreters start inside. */
  async socket(template: Template, signal: AbortSignal): Promise<string | null> {
    if (template.zygote === null) return null
    const dir = this.#dir(template)
    const socket = this.place(template)
    const starting = this.#starting.get(dir)
    if (starting !== undefined) return orAborted(starting, signal)
    // Not asked whether it lives: a launch that finds it dead says so (`replace`), and all others are spared a round trip.
    if (existsSync(socket)) return socket
    return this.#begin(template, dir, socket, signal)
  }

  /** Where it would listen, whether it lives or not. */
  place(template: Template): string {
    return join(this.#dir(template), 'zygote.sock')
  }

  /** A launch found the zygote at `socket` dead or deaf. */
  async replace(template: Template, signal: AbortSignal): Promise<string | null> {
    const dir = this.#dir(template)
    return this.#starting.get(dir) ?? this.#begin(template, dir, this.place(template), signal)
  }

  /** Ends the zygotes that were to end with this host. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Error('its host ends'))
    await Promise.allSettled(this.#starting.values())
    await Promise.all(this.#leashed.map((cell) => cell[Symbol.asyncDispose]()))
  }

  #dir(template: Template): string {
    return join(this.#parts.settings.home, 'zygotes', `${template.name}-${template.generation}`)
  }

  /** The start goes on when the caller gives up: others wait for it too. */
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
      // Both: the keeper of one that has just died answers for a while.
      if ((await answers(join(dir, 'keeper.sock'))) && (await answers(socket))) return socket
      await walls.sweepDead(dir)
      const cell = await walls.launch(this.#plan(template, dir, id), signal)
      if (this.#parts.settings.zygoteIdleMs === 0) this.#leashed.push(cell)
      else cell.release()
      auditLog.append({ kind: 'zygote', template: template.name, sandbox: id, outcome: 'started', detail: '' })
      return socket
    } catch (failure) {
      // The record must be had, or nothing starts at all; being slow is no reason to fail.
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
