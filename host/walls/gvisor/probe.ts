import { access } from 'node:fs/promises'
import { Fault } from '@caisson/wire'
import type { Finding } from '../wall.ts'
import { advisoriesFor, READ_ON } from './advisories.ts'
import { type EngineOptions, gvisorEngine, INSTALL } from './engine.ts'
import { runscs } from './found.ts'
import { PLATFORMS, type Platform, type Tried, tryPlatform } from './trial.ts'

const NEWER = 'put a newer runsc into /usr/local/bin, or name one with CAISSON_RUNSC'

/** What this machine has and lacks for the gvisor wall: starts each installed runsc on each platform. */
export async function probeGvisor(options: EngineOptions, signal: AbortSignal): Promise<Finding[]> {
  const { found, passed } = await runscs(options.runsc, signal)
  const findings = passed.map(({ program, why }): Finding => ({ what: 'runsc', severity: 'degraded', detail: `${program}: ${why}` }))
  const newest = found[0]
  if (newest === undefined) {
    return [...findings, { what: 'runsc', severity: 'missing', detail: 'there is none: no sandbox behind this wall', mend: INSTALL }]
  }
  findings.push({ what: 'runsc', severity: 'fine', detail: `${newest.version}, ${newest.program}` })
  for (const platform of PLATFORMS) findings.push(await platformFinding(platform, newest, options, signal))
  findings.push(...(await chosen(options, signal)), ...known(newest.version), await gpu())
  return findings
}

async function platformFinding(platform: Platform, runsc: Parameters<typeof tryPlatform>[0], options: EngineOptions, signal: AbortSignal) {
  const what = `platform ${platform}`
  const tried = await tryPlatform(runsc, platform, options, signal)
  if ('ms' in tried)
    return {
      what,
      severity: 'fine',
      detail: `ran a program, from nothing to its end, in ${Math.round(tried.ms)} ms; ${traced(tried)}`,
    } as const
  return { what, severity: 'degraded', detail: tried.why } as const
}

async function chosen(options: EngineOptions, signal: AbortSignal): Promise<Finding[]> {
  const what = 'engine'
  try {
    const { program, version, platform, preload, traces } = await gvisorEngine(options, signal)
    const found: Finding = { what, severity: 'fine', detail: `${program} ${version} by ${platform}` }
    return [found, ...(traces ? [RECORDED] : [UNRECORDED]), ...(preload === null ? [] : [MENDED])]
  } catch (failure) {
    if (!(failure instanceof Fault)) throw failure
    return [{ what, severity: 'missing', detail: failure.message, mend: INSTALL }]
  }
}

function traced({ untraced }: Tried): string {
  return untraced === undefined ? 'its trace points told of every command' : `its trace points are not used: ${untraced}`
}

const RECORDED: Finding = {
  what: 'commands',
  severity: 'fine',
  detail:
    'recorded by its trace points when they have begun, children’s too; one whose words it cannot send (not UTF-8, or 200 KiB of them) without its words',
}

const UNRECORDED: Finding = {
  what: 'commands',
  severity: 'degraded',
  detail: 'what children execute is not recorded: this version does not tell of it (see its platforms); plans say `audit.commands: false`',
  mend: NEWER,
}

const MENDED: Finding = {
  what: 'statx',
  severity: 'degraded',
  detail:
    'this version refuses AT_NO_AUTOMOUNT, which `ls` and `stat` use: a library of ours, loaded into programs inside, leaves it out; programs that are linked statically, or with another C library than glibc, are not reached',
  mend: NEWER,
}

function known(version: string): Finding[] {
  const what = 'advisories'
  const found = advisoriesFor(version)
  if (found.length === 0) return [{ what, severity: 'fine', detail: `none known for ${version} (table of ${READ_ON})` }]
  return found.map(
    (one): Finding => ({ what: one.id, severity: 'degraded', detail: `${one.what}; ${version} is older than the fix`, mend: NEWER }),
  )
}

/** Explains why gVisor's GPU support is not offered. */
async function gpu(): Promise<Finding> {
  const there = await access('/dev/nvidiactl').then(
    () => true,
    () => false,
  )
  const detail = there
    ? 'there is one on this machine; no sandbox gets it: no option asks for one, and unknown options are refused by name'
    : 'there is none on this machine; no option asks for one, and unknown options are refused by name'
  return { what: 'GPU', severity: 'fine', detail }
}
