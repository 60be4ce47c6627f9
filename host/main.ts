import { join } from 'node:path'
import type { CreateRequest, Door, Held, Plan, WallName } from '@caisson/wire'
import { Fault } from '@caisson/wire'
import { Secrets } from './airlock/secrets.ts'
import { hashOf } from './audit/chain.ts'
import { networkOf } from './audit/network-of.ts'
import { AuditReading } from './audit/reading.ts'
import type { AuditRecord } from './audit/record.ts'
import { refuseBehind, type SinkStatus, sinkStatuses } from './audit/sinks/status.ts'
import { type DoctorReport, examine } from './doctor.ts'
import { freshDeadline, refuseAborted } from './lifetimes.ts'
import { RecordedSecrets } from './recorded-secrets.ts'
import { openLog, openRooms, type Rooms, SWEEP_MS, sweep } from './rooms.ts'
import type { LiveSandbox } from './sandbox/life.ts'
import { Profiles } from './sandbox/profiles.ts'
import type { Act } from './sandbox/recorded-fleet.ts'
import { Workspaces } from './sandbox/workspaces.ts'
import { Scanner } from './scan/scanner.ts'
import { readSettings } from './settings.ts'
import { noTraces } from './telemetry/telemetry.ts'

export type { AuditEntry, AuditQuery } from './audit/query.ts'
export type { AuditReading } from './audit/reading.ts'
export type { SinkStatus } from './audit/sinks/status.ts'
export type { Verified } from './audit/walk.ts'
export type { DoctorReport } from './doctor.ts'
export type { RecordedSecrets } from './recorded-secrets.ts'
export type { Profiles } from './sandbox/profiles.ts'
export type { Workspaces } from './sandbox/workspaces.ts'
export type { Finding } from './walls/wall.ts'

export interface HostOptions {
  /** Overrides CAISSON_HOME. */
  home?: string
  /** Reports one line to the user who started this host: something works, but not as it should. */
  notice?: (line: string) => void
}

/** The host: sandboxes in this process, without a daemon. */
export interface Host extends Door {
  readonly home: string
  /** Finds out by trial what this machine can do. */
  doctor(signal: AbortSignal, wall?: WallName): Promise<DoctorReport>
  /** Network requests of a sandbox of this state folder, running or gone; null: the last one. Undefined: there is no record of it. */
  networkOf(sandbox: string | null, signal: AbortSignal): ReturnType<typeof networkOf>
}

/** Rejects with HOME_UNUSABLE, SETUP_INCOMPLETE or AUDIT_UNWRITABLE; then nothing has been started. */
export async function openHost(signal: AbortSignal, options: HostOptions = {}): Promise<Host> {
  refuseAborted(signal)
  return new EmbeddedHost(openRooms(readSettings(options), { idKind: 'e', notice: options.notice ?? (() => undefined), traces: noTraces }))
}

/** Scans code without running it. Rejects with SETUP_INCOMPLETE. Must be disposed. */
export function openScanner(options: Pick<HostOptions, 'home'> = {}): Scanner {
  return new Scanner(readSettings(options).scanning)
}

/** The profiles that ship, and those of the state folder. Throws HOME_UNUSABLE or SETUP_INCOMPLETE. */
export function openProfiles(options: Pick<HostOptions, 'home'> = {}): Profiles {
  return new Profiles(readSettings(options).profiles)
}

/** The workspaces of the state folder's operator. Throws HOME_UNUSABLE or SETUP_INCOMPLETE. */
export function openWorkspaces(options: Pick<HostOptions, 'home'> = {}): Workspaces {
  return new Workspaces(readSettings(options).home)
}

/** The secrets of the state folder. Throws HOME_UNUSABLE or SETUP_INCOMPLETE. */
export function openSecrets(options: Pick<HostOptions, 'home'> = {}): RecordedSecrets {
  const settings = readSettings(options)
  const record = (one: AuditRecord) => {
    using log = openLog(settings)
    log.append(one)
  }
  return new RecordedSecrets(new Secrets(settings.home), record)
}

/** The audit log of the state folder, or of another `folder`. Throws HOME_UNUSABLE, SETUP_INCOMPLETE, or NOT_FOUND where there is none. */
export function openAudit({ folder, ...options }: Pick<HostOptions, 'home'> & { folder?: string } = {}): AuditReading {
  return new AuditReading(folder ?? join(readSettings(options).home, 'audit'))
}

/** Status of the state folder's audit sinks. Throws HOME_UNUSABLE, SETUP_INCOMPLETE or SINK_INVALID. */
export function auditSinks(options: Pick<HostOptions, 'home'> = {}): SinkStatus[] {
  const { home } = readSettings(options)
  return sinkStatuses(home, join(home, 'audit'))
}

/** Signs a text on behalf of the installation, with the audit log's key (Ed25519, base64); `detail` goes into the audit log. Throws AUDIT_UNWRITABLE. */
export function attest(act: string, text: string, detail: Act['detail'], options: Pick<HostOptions, 'home'> = {}) {
  using log = openLog(readSettings(options))
  log.append({ kind: 'act', sandbox: '', by: 'operator', act, detail: { ...detail, sha256: hashOf(text) } })
  return log.sign(text)
}

class EmbeddedHost implements Host {
  readonly home: string
  readonly #rooms: Rooms
  readonly #live = new Set<LiveSandbox>()
  readonly #creating = new Set<Promise<unknown>>()
  /** Starts once the first sandbox runs, so that cleaning up after others delays none of ours. */
  #sweep: Promise<void> | undefined
  #closed = false

  constructor(rooms: Rooms) {
    this.#rooms = rooms
    this.home = rooms.settings.home
  }

  async create(request: CreateRequest, signal: AbortSignal): Promise<Held> {
    this.#refuseClosed(signal)
    refuseBehind(this.home, this.#rooms.auditLog.folder)
    const creating = this.#rooms.creating.create(request, signal)
    this.#creating.add(creating)
    try {
      const sandbox = await creating
      this.#live.add(sandbox)
      void sandbox.ended.then(() => this.#live.delete(sandbox))
      return sandbox
    } finally {
      this.#creating.delete(creating)
      this.#sweep ??= this.#sweepNow()
    }
  }

  async #sweepNow(): Promise<void> {
    try {
      await sweep(this.#rooms)
    } catch (failure) {
      const why = failure instanceof Error ? failure.message : String(failure)
      this.#rooms.notice(`what an earlier host left could not be removed: ${why}`)
    }
  }

  async plan(request: CreateRequest, signal: AbortSignal): Promise<Plan> {
    this.#refuseClosed(signal)
    return this.#rooms.creating.plan(request, signal)
  }

  doctor(signal: AbortSignal, wall?: WallName): Promise<DoctorReport> {
    return examine(this, this.#rooms.walls, this.#rooms.settings, signal, wall)
  }

  networkOf(sandbox: string | null, signal: AbortSignal): ReturnType<typeof networkOf> {
    return networkOf(this.#rooms.auditLog.path, sandbox, signal)
  }

  /** Ends the sandboxes on this host's leash, and disconnects from the others. */
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
    await this.#rooms[Symbol.asyncDispose]()
  }

  #refuseClosed(signal: AbortSignal): void {
    refuseAborted(signal)
    if (this.#closed) throw new Fault('CANCELLED', 'the host has been closed')
  }
}
