import { type CreateRequest, type Door, Fault, WALLS, type WallName } from '@caisson/wire'
import { operatorRangeText } from './airlock/operator.ts'
import type { Settings } from './settings.ts'
import { openTemplate, type Shelves, templateNames } from './templates/template.ts'
import type { Finding } from './walls/wall.ts'

/** What this machine can do for each wall, found out by trying. */
export interface DoctorReport {
  home: string
  walls: { name: WallName; findings: Finding[]; trial: Trial }[]
  templates: { name: string; languages: string[]; problem?: string }[]
  /** Reserved addresses that the operator lets rules of sandboxes open (CAISSON_ALLOW_PRIVATE). */
  allowPrivate: string[]
}

/** A sandbox with every limit of the default profile, made, used and ended. */
type Trial = { ok: true; createMs: number; commandMs: number } | { ok: false; code: string; message: string; hint: string }

interface Probing {
  probe(wall: WallName, signal: AbortSignal): Promise<Finding[]>
}

export async function examine(door: Pick<Door, 'create'>, walls: Probing, settings: Settings, signal: AbortSignal): Promise<DoctorReport> {
  const templates = await Promise.all(templateNames().map((name) => template(name, settings, signal)))
  const built = templates.find(({ problem }) => problem === undefined)
  const request: CreateRequest = built === undefined ? {} : { template: built.name }
  const report: DoctorReport = { home: settings.home, walls: [], templates, allowPrivate: settings.allowPrivate.map(operatorRangeText) }
  // One after the other: each is measured.
  for (const name of WALLS) {
    const findings = await walls.probe(name, signal)
    // No other has one.
    const own = name === 'container' ? [await ownRoot(settings, signal)] : []
    report.walls.push({ name, findings: [...findings, ...own], trial: await trial(door, { ...request, wall: name }, signal) })
  }
  return report
}

/** Whether sandboxes of profile `e2b` have a root that can be written to. */
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

/** What is wrong with it has a line of its own. */
function refused(failure: unknown): undefined {
  if (!(failure instanceof Fault)) throw failure
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
