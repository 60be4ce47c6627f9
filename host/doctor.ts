import { readdir, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { type CreateRequest, type Door, Fault, WALLS, type WallName } from '@caisson/wire'
import { operatorRangeText } from './airlock/operator.ts'
import { parsedLine } from './audit/lines.ts'
import { CURRENT } from './audit/segments.ts'
import { linesFromEnd } from './audit/tail.ts'
import { allocatedBytes } from './sandbox/allocated.ts'
import type { Settings } from './settings.ts'
import { CHECKS, type Check, sevenChecks } from './seven-checks.ts'
import { openTemplate, type Shelves, templateNames } from './templates/template.ts'
import type { Finding } from './walls/wall.ts'
import { executionsDuring } from './walls/witness.ts'

/** How much of the end of the audit log is searched for a sandbox that was just made. */
const MAX_TAIL_BYTES = 16 * 1024 * 1024

/** What this machine can do for each wall, found out by trial. */
export interface DoctorReport {
  home: string
  walls: { name: WallName; findings: Finding[]; trial: Trial; checks: Check[] }[]
  templates: { name: string; languages: string[]; problem?: string }[]
  /** Disk space of all snapshots, and what is left. */
  snapshots: { count: number; bytes: number; freeBytes: number }
  /** Reserved addresses that the operator lets sandbox rules open (CAISSON_ALLOW_PRIVATE). */
  allowPrivate: string[]
}

/** The result of making, using and ending a sandbox with every limit of the default profile. */
type Trial = { ok: true; createMs: number; commandMs: number } | { ok: false; code: string; message: string; hint: string }

interface Probing {
  probe(wall: WallName, signal: AbortSignal): Promise<Finding[]>
}

/** `only`: examine just this wall. */
export async function examine(
  door: Pick<Door, 'create'>,
  walls: Probing,
  settings: Settings,
  signal: AbortSignal,
  only?: WallName,
): Promise<DoctorReport> {
  const recorded = (sandbox: string, by: AbortSignal) => kindsOf(join(settings.home, 'audit', CURRENT), sandbox, by)
  const executions = (sandbox: string, during: () => Promise<unknown>, by: AbortSignal) =>
    executionsDuring(settings.keeper, sandbox, during, by)
  // Behind other walls, the host's kernel sees nothing of what runs.
  const sharesKernel = (name: WallName) => name === 'container'
  const templates = await Promise.all(templateNames().map((name) => template(name, settings, signal)))
  const built = templates.find(({ problem }) => problem === undefined)
  const request: CreateRequest = built === undefined ? {} : { template: built.name }
  const report: DoctorReport = {
    home: settings.home,
    walls: [],
    templates,
    snapshots: await snapshotsBelow(settings.home),
    allowPrivate: settings.allowPrivate.map(operatorRangeText),
  }
  // Sequential, because each is timed.
  for (const name of only === undefined ? WALLS : [only]) {
    const findings = await walls.probe(name, signal)
    const tried = await trial(door, { ...request, wall: name }, signal)
    const checks = tried.ok
      ? await sevenChecks({ door, request: { ...request, wall: name }, recorded, ...(sharesKernel(name) ? { executions } : {}) }, signal)
      : CHECKS.map((check) => lacking(check, tried))
    // No other wall has one.
    const own = name === 'container' ? [await ownRoot(settings, signal)] : []
    report.walls.push({ name, findings: [...findings, ...own], trial: tried, checks })
  }
  return report
}

async function snapshotsBelow(home: string): Promise<DoctorReport['snapshots']> {
  const folder = join(home, 'snapshots')
  const [found, bytes, { bavail, bsize }] = await Promise.all([readdir(folder), allocatedBytes(folder), statfs(folder)])
  return { count: found.length, bytes, freeBytes: bavail * bsize }
}

/** Whether sandboxes of profile `e2b` have a writable root. */
export async function ownRoot(settings: Pick<Settings, 'uid' | keyof Shelves>, signal: AbortSignal): Promise<Finding> {
  const what = 'a root of its own'
  if (settings.uid !== 0) {
    const detail =
      'not without root on the host: sandboxes of profile e2b have a read-only root, without sudo, and neither apt-get nor pip installs into it'
    return { what, severity: 'degraded', detail }
  }
  for (const name of templateNames()) {
    const found = await openTemplate(name, settings, signal).catch(refused)
    if (found !== undefined && found.ground !== null)
      return { what, severity: 'fine', detail: 'sandboxes of profile e2b may change all of it: sudo, apt-get, pip' }
  }
  return { what, severity: 'degraded', detail: 'no template was built with what lies under it: run `./caisson setup` as root' }
}

/** The problem has a line of its own. */
function refused(failure: unknown): undefined {
  if (!(failure instanceof Fault)) throw failure
}

function lacking(check: Check['check'], { code, message }: Extract<Trial, { ok: false }>): Check {
  return { check, state: 'unavailable', evidence: `${code}: ${message}` }
}

/** Kinds of the audit records of a sandbox. */
async function kindsOf(log: string, sandbox: string, signal: AbortSignal): Promise<string[]> {
  const kinds: string[] = []
  for await (const line of linesFromEnd(log, MAX_TAIL_BYTES, signal)) {
    const record = line.includes(sandbox) ? parsedLine(line) : undefined
    if (record?.['sandbox'] !== sandbox) continue
    kinds.unshift(String(record['kind']))
    if (record['kind'] === 'create') break
  }
  return kinds
}

async function template(name: string, settings: Settings, signal: AbortSignal): Promise<DoctorReport['templates'][number]> {
  try {
    return { name, languages: [...(await openTemplate(name, settings, signal)).languages] }
  } catch (failure) {
    if (!(failure instanceof Fault)) throw failure
    return { name, languages: [], problem: failure.line }
  }
}

async function trial(door: Pick<Door, 'create'>, request: CreateRequest, signal: AbortSignal): Promise<Trial> {
  try {
    const begun = performance.now()
    const sandbox = await door.create(request, signal)
    try {
      const created = performance.now()
      const process = await sandbox.start({ command: 'true' }, signal)
      const { exitCode } = await process.exit
      if (exitCode !== 0) throw new Fault('LAUNCH_FAILED', `the command true ended with ${exitCode} inside`)
      return { ok: true, createMs: created - begun, commandMs: performance.now() - created }
    } finally {
      await sandbox.kill(signal)
    }
  } catch (failure) {
    if (!(failure instanceof Fault)) throw failure
    return { ok: false, code: failure.code, message: failure.message, hint: failure.hint }
  }
}
