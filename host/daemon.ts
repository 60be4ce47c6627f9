import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { isIPv6 } from 'node:net'
import { join } from 'node:path'
import { Fault, WALLS, type WallName } from '@caisson/wire'
import * as caissonRoutes from './api/caisson/shelf.ts'
import * as controlRoutes from './api/control/shelf.ts'
import { TeamHistory } from './api/control/team-history.ts'
import { SignedLinks, serveEnvd } from './api/envd/envd.ts'
import { serveInterpreter } from './api/interpreter/interpreter.ts'
import { newKey } from './api/keys.ts'
import type { Parts } from './api/parts.ts'
import { FrontDoor } from './api/server.ts'
import { StoredKeys } from './api/stored-keys.ts'
import { StoredReplays } from './api/stored-replays.ts'
import { StoredTags } from './api/stored-tags.ts'
import { openTls } from './api/tls/tls.ts'
import { Sinks } from './audit/sinks/sinks.ts'
import { examine } from './doctor.ts'
import { refuseAborted, settled, Undos } from './lifetimes.ts'
import { openRooms, type Rooms, sweep } from './rooms.ts'
import { LocalFleet } from './sandbox/local-fleet.ts'
import { lockNow } from './sandbox/lock.ts'
import { readProfiles } from './sandbox/profile.ts'
import { NO_QUOTAS } from './sandbox/record.ts'
import { type Act, RecordedFleet } from './sandbox/recorded-fleet.ts'
import { readSettings } from './settings.ts'
import { SqliteStore } from './store/sqlite.ts'
import { openLog } from './telemetry/log.ts'
import { Meters } from './telemetry/meters.ts'
import type { Telemetry } from './telemetry/telemetry.ts'
import { openTraces } from './telemetry/traces.ts'
import { builtTemplates, templateNamed } from './templates/known.ts'

export interface DaemonOptions {
  /** Overrides CAISSON_HOME. */
  home?: string
  /** 0: any free port. */
  port: number
  /** Address to listen on. Absent: only this machine can reach it. */
  hostName?: string
  /** `<port>-<id>.<domain>` routes to sandboxes. */
  domain?: string
  /** Serves TLS with a certificate for the domain from Caisson's own authority. */
  tls?: boolean
}

export interface Daemon {
  readonly url: string
  readonly home: string
  /** The operator's key, which everyone who can read the state folder has. */
  readonly key: string
  readonly domain: string | null
  /** The certificate to trust, with TLS. */
  readonly caPath: string | null
  /** Accepts no more requests, finishes current ones, and leaves its sandboxes running. */
  close(): Promise<void>
  /** Resolves when it has closed. */
  readonly closed: Promise<void>
}

const DRAIN_MS = 10_000
const OPERATOR = { owner: 'operator', operator: true, quotas: NO_QUOTAS, leastWall: WALLS[0] }

/**
 * Builds the daemon in order, from its state folder to its open port. Rejects with DAEMON_RUNNING, HOME_UNUSABLE, STORE_UNUSABLE, AUDIT_UNWRITABLE,
 * SINK_INVALID, SINK_UNREACHABLE, SETUP_INCOMPLETE or ADDRESS_UNUSABLE; then nothing of it is left, and the sandboxes of an earlier daemon live on.
 */
export async function openDaemon(options: DaemonOptions, signal: AbortSignal): Promise<Daemon> {
  refuseAborted(signal)
  await using undo = new Undos()
  const settings = readSettings(options.home === undefined ? {} : { home: options.home })
  const log = openLog({ to: 2, level: 'info' })
  undo.add(() => log[Symbol.asyncDispose]())
  const traces = await openTraces(settings.otlpEndpoint)
  undo.add(() => traces[Symbol.asyncDispose]())
  const telemetry: Telemetry = { log, meters: new Meters(), span: traces.span, received: traces.received }
  const notice = (line: string) => telemetry.log.warn({}, line)
  const rooms = openRooms(settings, { idKind: 'i', notice, traces })
  undo.add(() => rooms[Symbol.asyncDispose]())
  const lock = await lockNow(join(rooms.settings.home, 'daemon.lock'), signal)
  if (lock === undefined) throw new Fault('DAEMON_RUNNING', `another daemon runs on ${rooms.settings.home}`)
  undo.add(() => lock[Symbol.asyncDispose]())
  const sinks = await openSinks(rooms, signal)
  undo.add(() => sinks[Symbol.asyncDispose]())
  const store = SqliteStore.open(join(rooms.settings.home, 'caisson.db'))
  undo.add(() => store[Symbol.asyncDispose]())
  const { key, keys } = await openKeys(rooms.settings.home, store)
  const fleet = await openFleet(rooms, store, telemetry, signal)
  undo.add(() => fleet[Symbol.asyncDispose]())
  telemetry.meters.gauge('sandboxes', 'Sandboxes by state', 'state', () => byState(fleet))
  telemetry.meters.gauge('pool', 'Sandboxes that wait, and how often one was there or not', 'what', () => ({ ...fleet.pool }))
  telemetry.meters.gauge('audit_sink_lag', 'Records that a sink has not got yet', 'sink', () => sinks.lags())
  telemetry.meters.gauge('snapshots', 'Snapshots that are kept, and the bytes of the disk that they take', 'what', () => ({
    ...fleet.kept.used(),
  }))
  // The port is known once it listens.
  const place = { domain: options.domain ?? null }
  const teams = new TeamHistory(() => fleet.live())
  undo.add(async () => teams[Symbol.dispose]())
  const parts = await openParts(rooms, { store, keys, fleet, teams, sinks }, telemetry, place)
  const host = options.hostName ?? '127.0.0.1'
  const identity = options.tls === true ? await openTls(settings.home, { domain: options.domain ?? null, host }, signal) : undefined
  const listen = { host, port: options.port, drainMs: DRAIN_MS }
  const door = await FrontDoor.open(parts, { ...listen, ...(identity === undefined ? {} : { tls: identity }) }, signal)
  undo.add(() => door.close())
  if (place.domain !== null && !/:\d+$/.test(place.domain)) place.domain += `:${door.port}`
  const scheme = identity === undefined ? 'http' : 'https'
  const url = `${scheme}://${named(host)}:${door.port}`
  const reach = { url, domain: place.domain, caPath: identity?.caPath ?? null }
  await announce(rooms.settings.home, { ...reach, pid: process.pid, startedMs: Date.now() })
  undo.add(() => rm(join(rooms.settings.home, 'daemon.json'), { force: true }))
  // Cleaning up after an earlier host delays nobody.
  const sweeping = sweep(rooms).catch((failure: unknown) => notice(`what an earlier host left could not be removed: ${String(failure)}`))
  undo.add(() => sweeping)
  telemetry.log.info({ url, home: rooms.settings.home }, 'listening')
  return running(undo.move(), { ...reach, key, home: rooms.settings.home })
}

function byState(fleet: LocalFleet): Readonly<Record<string, number>> {
  const states = { running: 0, frozen: 0, asleep: 0, stopped: 0 }
  for (const { state, paused } of fleet.live()) states[state === 'running' ? 'running' : (paused ?? 'stopped')] += 1
  return states
}

function running(all: Undos, about: Omit<Daemon, 'close' | 'closed'>): Daemon {
  const over = settled<void>()
  let isClosing = false
  const close = () => {
    if (!isClosing) all[Symbol.asyncDispose]().then(over.resolve, over.reject)
    isClosing = true
    return over.promise
  }
  return { ...about, close, closed: over.promise }
}

function openFleet(rooms: Rooms, store: SqliteStore, telemetry: Telemetry, signal: AbortSignal): Promise<LocalFleet> {
  const { settings, creating, walls, denials, notice } = rooms
  const expected = [
    { request: { profile: 'e2b', template: 'code-interpreter' }, count: settings.pool },
    { request: { profile: 'e2b', template: 'base' }, count: Math.min(1, settings.pool) },
  ].filter(({ count }) => count > 0)
  const { home, keeper, frozenGraceMs, snapshotBounds } = settings
  return LocalFleet.open(
    { home, store, creating, walls, keeper, frozenGraceMs, snapshotBounds, expected, telemetry, denials, notice },
    signal,
  )
}

/** Opens the other destinations of the audit log. Which ones there are is recorded first. */
async function openSinks({ settings, auditLog, secrets }: Rooms, signal: AbortSignal): Promise<Sinks> {
  const house = { recorder: settings.recorder, secret: (name: string) => secrets.value(name) }
  const sinks = await Sinks.open({ home: settings.home, folder: auditLog.folder, house }, signal)
  if (Object.keys(sinks.places).length > 0) {
    auditLog.append({ kind: 'act', sandbox: '', by: 'operator', act: 'audit.sinks', detail: sinks.places })
  }
  return sinks
}

async function openParts(
  rooms: Rooms,
  { store, keys, fleet, teams, sinks }: { store: SqliteStore; keys: StoredKeys; fleet: LocalFleet; teams: TeamHistory; sinks: Sinks },
  telemetry: Telemetry,
  place: { readonly domain: string | null },
): Promise<Parts> {
  const { settings, auditLog, creating, walls, exits } = rooms
  const links = new SignedLinks()
  const control = {
    maxTimeoutMs: settings.maxTimeoutMs,
    auditLog: auditLog.path,
    record: (by: string, act: string, detail: Act['detail']) => auditLog.append({ kind: 'act', sandbox: '', by, act, detail }),
    templates: { named: templateNamed, built: (signal: AbortSignal) => builtTemplates(settings, signal) },
    tags: await StoredTags.open(store),
    keys,
    snapshotRoom: fleet.kept.room.bind(fleet.kept),
    replays: await StoredReplays.open(store),
    teams,
    profiles: (signal: AbortSignal) => readProfiles(settings.profiles, signal),
    plan: creating.plan.bind(creating),
    proxied: exits.proxied.bind(exits),
    doctor: (signal: AbortSignal, wall?: WallName) => examine(creating, walls, settings, signal, wall),
  }
  return {
    rooms: {
      fleet: new RecordedFleet(
        fleet,
        (act) => auditLog.append(act),
        () => sinks.refuseBehind(),
      ),
      control,
      get domain() {
        return place.domain
      },
    },
    telemetry,
    routes: [...Object.values(controlRoutes), ...Object.values(caissonRoutes)],
    ownerOf: (shown) => keys.ownerOf(shown),
    serveEnvd,
    serveInterpreter,
    findSigned: (call, fleet) => links.find(call, fleet),
  }
}

/** The operator's key lies in the state folder, for everyone who can read that. The store has its hash, as for any other key. */
async function openKeys(home: string, store: SqliteStore): Promise<{ key: string; keys: StoredKeys }> {
  const keys = await StoredKeys.open(store)
  const path = join(home, 'key')
  const kept = (await readFile(path, 'utf8').catch(() => '')).trim()
  const key = kept === '' ? newKey() : kept
  if (kept === '') await place(path, `${key}\n`)
  if (keys.ownerOf(key) === undefined) await keys.add(OPERATOR, key)
  return { key, keys }
}

interface Announced extends Pick<Daemon, 'url' | 'domain' | 'caPath'> {
  pid: number
  startedMs: number
}

/** Announces the daemon to the command line and the SDK on this machine. */
async function announce(home: string, about: Announced): Promise<void> {
  await place(join(home, 'daemon.json'), `${JSON.stringify(about)}\n`)
}

async function place(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { mode: 0o600 })
  await rename(`${path}.new`, path)
}

/** The address for programs on this machine, whether or not names below the domain resolve here. */
function named(hostName: string): string {
  if (hostName === '0.0.0.0' || hostName === '::') return '127.0.0.1'
  return isIPv6(hostName) ? `[${hostName}]` : hostName
}
