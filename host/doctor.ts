import { type CreateRequest, type Door, Fault } from '@caisson/wire'
import { operatorRangeText } from './airlock/operator.ts'
import type { Settings } from './settings.ts'
import { openTemplate, templateNames } from './templates/template.ts'
import type { Finding, Wall } from './walls/wall.ts'

/** What this machine can do for each wall, found out by trying. */
export interface DoctorReport {
  home: string
  walls: { name: string; findings: Finding[]; trial: Trial }[]
  templates: { name: string; languages: string[]; problem?: string }[]
  /** Reserved addresses that the operator lets rules of sandboxes open (CAISSON_ALLOW_PRIVATE). */
  allowPrivate: string[]
}

/** A sandbox with every limit of the default profile, made, used and ended. */
type Trial = { ok: true; createMs: number; commandMs: number } | { ok: false; code: string; message: string; hint: string }

export async function examine(
  door: Pick<Door, 'create'>,
  wall: { probe: (signal: AbortSignal) => ReturnType<Wall<unknown>['probe']> },
  settings: Settings,
  signal: AbortSignal,
): Promise<DoctorReport> {
  const findings = await wall.probe(signal)
  const templates = await Promise.all(templateNames().map((name) => template(name, settings, signal)))
  const built = templates.find(({ problem }) => problem === undefined)
  const request: CreateRequest = built === undefined ? {} : { template: built.name }
  const walls = [{ name: 'container', findings, trial: await trial(door, request, signal) }]
  return { home: settings.home, walls, templates, allowPrivate: settings.allowPrivate.map(operatorRangeText) }
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
