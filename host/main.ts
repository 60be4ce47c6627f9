import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { CreateRequest, Death, Door, Held, Plan } from '@caisson/wire'
import { Fault } from '@caisson/wire'
import { AuditLog } from './audit/log.ts'
import { type DoctorReport, examine } from './doctor.ts'
import { freshDeadline, refuseAborted } from './lifetimes.ts'
import { Creating } from './sandbox/creating.ts'
import type { LiveSandbox } from './sandbox/life.ts'
import { Zygotes } from './sandbox/zygote.ts'
import { readSettings, type Settings } from './settings.ts'
import { Keepers } from './walls/keepers.ts'
import * as walls from './walls/shelf.ts'
import { answers, Supervised } from './walls/supervised.ts'

export type { DoctorReport } from './doctor.ts'
export type { Finding } from './walls/wall.ts'

export interface HostOptions {
  /** Instead of CAISSON_HOME. */
  home?: string
  /** One line that whoever started this host should see: something works, but not as it should. */
  notice?: (line: string) => void
}

/** The host in this process. */
export interface Host extends Door {
  readonly home: string
  /** What this machine can do; tries it. */
  doctor(signal: AbortSignal): Promise<DoctorReport>
}

const SWEEP_MS = 60_000
/** Of sandboxes that nobody waited for. */
const KEEP_DEATHS_MS = 7 * 86_400_000
/** Far longer than one takes to start, so that none is taken for dead that is only young. */
const KEEP_ZYGOTES_MS = 86_400_000

/** Builds the rooms in order. Rejects with HOME_UNUSABLE, SETUP_INCOMPLETE or AUDIT_UNWRITABLE; then nothing has been started. */
export async function openHost(signal: AbortSignal, options: HostOptions = {}): Promise<Host> {
  refuseAborted(signal)
  const settings = readSettings(options.home === undefined ? {} : { home: options.home })
  const notice = options.notice ?? (() => undefined)
  const auditLog = new AuditLog(join(settings.home, 'audit', 'audit.jsonl'))
  const record = ({ id, reason, detail }: Death) => auditLog.append({ kind: 'death', sandbox: id, reason, detail })
  const keepers = new Keepers(settings.keeper, settings.home)
  const wallOptions = { keepers, keeper: settings.keeper, uid: settings.uid }
  const wall = new Supervised(walls.container, wallOptions, join(settings.home, 'sandboxes'), record)
  const zygotes = new Zygotes({ settings, auditLog, wall, notice })
  const creating = new Creating({ settings, auditLog, wall, zygotes, idKind: 'e', notice })
  return new EmbeddedHost({ settings, auditLog, keepers, wall, zygotes, creating, notice })
}

interface Rooms {
  settings: Settings
  auditLog: AuditLog
  keepers: Keepers
  wall: Pick<Supervised<unknown>, 'sweepOrphans' | 'sweepDead' | 'probe'>
  zygotes: Zygotes
  creating: Creating
  notice: (line: string) => void
}

class EmbeddedHost implements Host {
  readonly home: string
  readonly #rooms: Rooms
  readonly #live = new Set<LiveSandbox>()
  readonly #creating = new Set<Promise<unknown>>()
  /** Nobody waits for it: what others left behind holds up no sandbox of ours. */
  readonly #sweep: Promise<void>
  #closed = false

  constructor(rooms: Rooms) {
    this.#rooms = rooms
    this.home = rooms.settings.home
    this.#sweep = sweep(rooms).catch((failure: unknown) => {
      rooms.notice(`what an earlier host left could not be removed: ${failure instanceof Error ? failure.message : String(failure)}`)
    })
  }

  async create(request: CreateRequest, signal: AbortSignal): Promise<Held> {
    this.#refuseClosed(signal)
    const creating = this.#rooms.creating.create(request, signal)
    this.#creating.add(creating)
    try {
      const sandbox = await creating
      this.#live.add(sandbox)
      void sandbox.ended.then(() => this.#live.delete(sandbox))
      return sandbox
    } finally {
      this.#creating.delete(creating)
    }
  }

  async plan(request: CreateRequest, signal: AbortSignal): Promise<Plan> {
    this.#refuseClosed(signal)
    return this.#rooms.creating.plan(request, signal)
  }

  doctor(signal: AbortSignal): Promise<DoctorReport> {
    return examine(this, this.#rooms.wall, this.#rooms.settings, signal)
  }

  /** Ends the sandboxes that are on this host's leash, lets go of the others. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.allSettled(this.#creating)
    const ending = [...this.#live].map(async (sandbox) => {
      if (sandbox.leashed) await sandbox.kill(freshDeadline(SWEEP_MS))
      else sandbox.release()
    })
    await Promise.all(ending)
    await this.#sweep
    await this.#rooms.zygotes[Symbol.asyncDispose]()
    await this.#rooms.keepers[Symbol.asyncDispose]()
    this.#rooms.auditLog[Symbol.dispose]()
  }

  #refuseClosed(signal: AbortSignal): void {
    refuseAborted(signal)
    if (this.#closed) throw new Fault('CANCELLED', 'the host has been closed')
  }
}

/** What earlier hosts left: sandboxes whose keepers are gone, zygotes of templates as they were, death records that nobody came to read. */
async function sweep({ wall, settings }: Rooms): Promise<void> {
  await wall.sweepOrphans(freshDeadline(SWEEP_MS))
  const zygotes = join(settings.home, 'zygotes')
  for (const name of await readdir(zygotes)) {
    const dir = join(zygotes, name)
    const found = await stat(dir).catch(() => undefined)
    const isOld = found?.isDirectory() === true && Date.now() - found.mtimeMs > KEEP_ZYGOTES_MS
    if (isOld && !(await answers(join(dir, 'keeper.sock')))) await wall.sweepDead(dir)
  }
  const deaths = join(settings.home, 'deaths')
  for (const name of await readdir(deaths)) {
    const path = join(deaths, name)
    // Another host may read and remove it at this moment.
    const found = await stat(path).catch(() => undefined)
    if (found !== undefined && Date.now() - found.mtimeMs > KEEP_DEATHS_MS) await rm(path, { force: true })
  }
}
