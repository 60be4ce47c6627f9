import { readFile } from 'node:fs/promises'
import type {
  AuditEntry,
  AuditQuery,
  AuditReading,
  DoctorReport,
  Host,
  Profiles,
  RecordedSecrets,
  SinkStatus,
  Verified,
  Workspaces,
} from '@caisson/host'
import type { Daemon, DaemonOptions } from '@caisson/host/daemon'
import { CATALOGUE, type Door, Fault, type Held, type WallName, within } from '@caisson/wire'
import { type LocalDaemon, localDaemon } from './local-daemon.ts'
import { RemoteDoor } from './remote/remote-door.ts'
import { clientSettings } from './settings.ts'
import { SharedDoor } from './shared-door.ts'

export type { AuditEntry, AuditQuery, Daemon, DaemonOptions, DoctorReport, SinkStatus, Verified }

/** A door, and how to release it. */
export interface HeldDoor {
  door: Door
  release(): Promise<void>
  /** Releases it when the sandbox has ended, and then resolves. */
  releaseWith(held: Held): Promise<void>
}

/** A daemon of this machine that has not answered a first request within this time is not used. */
const ANSWER_MS = 5000

/** The single host of this process: deliberately module state, since two would both sweep the same state folder. */
const shared = new SharedDoor<Host>(async () => {
  const { openHost } = await import('@caisson/host')
  return await openHost(new AbortController().signal, { notice: (line) => process.emitWarning(line, 'CaissonWarning') })
})

/** Daemons that this process has connected to, so that connections are reused from one sandbox to the next. */
const daemons = new Map<string, RemoteDoor>()

/**
 * Chooses where sandboxes come from: the daemon of CAISSON_URL; otherwise this machine's daemon, if there is one; otherwise a host in this process. A daemon
 * that was asked for explicitly but does not answer is an error, never replaced.
 */
export async function acquireDoor(signal: AbortSignal): Promise<HeldDoor> {
  const daemon = await findDaemon(signal)
  if (daemon !== undefined) return unheld(daemon)
  const door = await shared.acquire(signal)
  const release = () => shared.release()
  return { door, release, releaseWith: (held) => held.ended.then(() => shared.releaseLater()) }
}

/** Call it before `process.exit`: it ends a host that lingers for the next sandbox, and everything that ends with it. */
export function closeIdleHost(): Promise<void> {
  return shared.closeIdle()
}

/** The same, but a daemon only. Rejects with UNSUPPORTED if there is none; `what` names the operation that needs one. */
export async function acquireDaemon(what: string, signal: AbortSignal): Promise<RemoteDoor> {
  return (await findDaemon(signal)) ?? refuseEmbedded(what)
}

export async function hasDaemon(signal: AbortSignal): Promise<boolean> {
  return (await findDaemon(signal)) !== undefined
}

/** A door that somebody else owns, or that needs no release. */
export function unheld(door: Door): HeldDoor {
  return { door, release: async () => undefined, releaseWith: async () => undefined }
}

export function refuseEmbedded(what: string): never {
  throw new Fault('UNSUPPORTED', `${what} needs a daemon, and none is running`, {
    hint: 'Start one with `caisson up`, or name one with CAISSON_URL.',
  })
}

/** For one wall, or for all. */
export async function doctorOf(door: Door, wall: WallName | undefined, signal: AbortSignal): Promise<DoctorReport> {
  const path = wall === undefined ? '/doctor' : `/doctor?wall=${wall}`
  if (door instanceof RemoteDoor) return (await door.tell('GET', path, undefined, 'doctor', signal)) as DoctorReport
  return await (door as Host).doctor(signal, wall)
}

/** The secrets in this machine's state folder, shared with its daemon. Rejects with UNSUPPORTED if CAISSON_URL names another machine's daemon. */
export async function openSecrets(what: string): Promise<RecordedSecrets> {
  if (clientSettings().url !== undefined) {
    throw new Fault('UNSUPPORTED', `${what} does not send secrets over the network`, {
      hint: 'Run it on the machine of the daemon, without CAISSON_URL.',
    })
  }
  const host = await import('@caisson/host')
  return host.openSecrets()
}

/** Needs neither a daemon nor a wall. */
export async function openScanner(): Promise<ReturnType<typeof import('@caisson/host')['openScanner']>> {
  const host = await import('@caisson/host')
  return host.openScanner()
}

/** The audit log in this machine's state folder, or a copy in `folder`. Rejects with NOT_FOUND, or UNSUPPORTED for another machine's daemon. */
export async function openAudit(folder: string | undefined): Promise<AuditReading> {
  if (folder === undefined && clientSettings().url !== undefined) {
    throw new Fault('UNSUPPORTED', 'caisson audit reads the log where it lies', {
      hint: 'Run it on the machine of the daemon, without CAISSON_URL; or ask the daemon itself (GET /caisson/v1/audit).',
    })
  }
  const host = await import('@caisson/host')
  return host.openAudit(folder === undefined ? {} : { folder })
}

/** The status of the sinks in this machine's state folder. Rejects with SINK_INVALID, or UNSUPPORTED for another machine's daemon. */
export async function auditSinks(): Promise<SinkStatus[]> {
  if (clientSettings().url !== undefined) {
    throw new Fault('UNSUPPORTED', 'caisson audit sinks reads the state folder where it lies', {
      hint: 'Run it on the machine of the daemon, without CAISSON_URL; its /metrics tell the lag of each.',
    })
  }
  const host = await import('@caisson/host')
  return host.auditSinks()
}

/** Signs a report with the key in this machine's state folder, and records that. Rejects with UNSUPPORTED for another machine's daemon. */
export async function attest(
  act: string,
  text: string,
  detail: Record<string, string | boolean>,
): Promise<{ key: string; signature: string }> {
  if (clientSettings().url !== undefined) {
    throw new Fault('UNSUPPORTED', `caisson ${act} is about this machine, and CAISSON_URL names another daemon`, {
      hint: 'Unset CAISSON_URL.',
    })
  }
  const host = await import('@caisson/host')
  return host.attest(act, text, detail)
}

/** This machine's profiles, as files. Rejects with UNSUPPORTED for another machine's daemon. */
export async function openProfiles(what: string): Promise<Profiles> {
  if (clientSettings().url !== undefined) {
    throw new Fault('UNSUPPORTED', `${what} reads the profiles of this machine, and CAISSON_URL names another`, {
      hint: 'Run it on the machine of the daemon; `GET /caisson/v1/profiles` tells the daemon’s.',
    })
  }
  const host = await import('@caisson/host')
  return host.openProfiles()
}

/** The operator's workspaces in this machine's state folder, shared with its daemon. Rejects with UNSUPPORTED for another machine's daemon. */
export async function openWorkspaces(what: string): Promise<Workspaces> {
  if (clientSettings().url !== undefined) {
    throw new Fault('UNSUPPORTED', `${what} looks at the state folder of this machine, and CAISSON_URL names another`, {
      hint: 'Run it on the machine of the daemon.',
    })
  }
  const host = await import('@caisson/host')
  return host.openWorkspaces()
}

/** The network activity of a sandbox of this machine's state folder, from its log. */
export async function recordedHere(sandbox: string | null, signal: AbortSignal): ReturnType<Host['networkOf']> {
  const host = await shared.acquire(signal)
  try {
    return await host.networkOf(sandbox, signal)
  } finally {
    await shared.release()
  }
}

/** Turns this process into a daemon. */
export async function openDaemon(options: DaemonOptions, signal: AbortSignal): Promise<Daemon> {
  const daemon = await import('@caisson/host/daemon')
  try {
    return await daemon.openDaemon(options, signal)
  } catch (cause) {
    // The daemon is a separate bundle, so its Fault is a different class.
    const { name, code, message, hint } = cause as Fault
    throw name === 'Fault' && Object.hasOwn(CATALOGUE, code) ? new Fault(code, message, { hint, cause }) : cause
  }
}

async function findDaemon(signal: AbortSignal): Promise<RemoteDoor | undefined> {
  const { url, key, home } = clientSettings()
  if (url !== undefined) return remembered(JSON.stringify([url, key]), () => new RemoteDoor({ url, key }))
  const local = await localDaemon(home)
  if (local === undefined) return undefined
  const name = JSON.stringify(local)
  const known = daemons.get(name)
  if (known !== undefined) return known
  const door = await doorOf(local)
  return (await answers(door, signal)) ? remembered(name, () => door) : undefined
}

/** Where this machine's own clients reach its daemon. */
export async function doorOf({ url, key, caPath }: LocalDaemon): Promise<RemoteDoor> {
  return new RemoteDoor({ url, key, ...(caPath === null ? {} : { ca: await readFile(caPath, 'utf8') }) })
}

/** False: the daemon is gone and has left its file behind. */
async function answers(door: RemoteDoor, signal: AbortSignal): Promise<boolean> {
  const asking = within(ANSWER_MS, signal)
  try {
    if (await door.isAlive(asking)) return true
    throw new Fault('DAEMON_UNREACHABLE', `what listens at ${door.url.origin} is not well`)
  } catch (failure) {
    if (isRefusal(failure)) return false
    if (!asking.aborted || signal.aborted) throw failure
    throw new Fault('DAEMON_UNREACHABLE', `${door.url.origin} has not answered within ${ANSWER_MS / 1000} s`, { cause: failure })
  }
}

function isRefusal(failure: unknown): boolean {
  const cause = failure instanceof Fault ? failure.cause : undefined
  return cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED'
}

function remembered(name: string, make: () => RemoteDoor): RemoteDoor {
  const door = daemons.get(name) ?? make()
  daemons.set(name, door)
  return door
}
