import { readFile, rename, writeFile } from 'node:fs/promises'
import { release } from 'node:os'
import { join } from 'node:path'
import { Engine, Fault } from '@caisson/wire'
import { z } from 'zod'
import { type Runsc, runscs } from './found.ts'
import { PLATFORMS, tryPlatform } from './trial.ts'

/** The command that installs it. */
export const INSTALL = 'apt-get install -y runsc'

/** Increased when trials test more than before. */
const FORMAT = 2
const Remembered = z.strictObject({ key: z.string(), engine: Engine })

export interface EngineOptions {
  readonly runsc: string | null
  readonly agent: string
  /** Library for programs inside that works around calls which gVisor refuses. */
  readonly preloadLibrary: string
  /** Receives its trace points, in trials and in use. */
  readonly keeper: string
  /** Folder that caches results: a trial takes a second. */
  readonly cache: string
}

/** Results of this process, by the options that they were found with. */
const known = new Map<string, Promise<Engine>>()

/** The newest runsc that works here, and its platform. Rejects with WALL_UNAVAILABLE. */
export function gvisorEngine(options: EngineOptions, signal: AbortSignal): Promise<Engine> {
  const key = JSON.stringify([options.runsc, options.cache])
  const before = known.get(key)
  if (before !== undefined) return before
  const found = find(options, signal)
  known.set(key, found)
  // A failure is not cached: it may be installed later.
  found.catch(() => known.delete(key))
  return found
}

async function find(options: EngineOptions, signal: AbortSignal): Promise<Engine> {
  const { found, passed } = await runscs(options.runsc, signal)
  const reasons = passed.map(({ program, why }) => `${program}: ${why}`)
  for (const runsc of found) {
    const engine = (await remembered(runsc, options)) ?? (await tried(runsc, options, reasons, signal))
    if (engine !== undefined) return engine
  }
  const why = reasons.length === 0 ? 'there is no runsc' : reasons.join('; ')
  throw new Fault('WALL_UNAVAILABLE', `gvisor: ${why}`, { hint: `Install it with \`${INSTALL}\`; \`caisson doctor\` tries it.` })
}

async function tried(runsc: Runsc, options: EngineOptions, reasons: string[], signal: AbortSignal): Promise<Engine | undefined> {
  const { program, version } = runsc
  for (const platform of PLATFORMS) {
    const result = await tryPlatform(runsc, platform, options, signal)
    if ('ms' in result) {
      const preload = result.refusesStatx ? options.preloadLibrary : null
      const engine: Engine = { program, version, platform, preload, traces: result.untraced === undefined, warm: null }
      await remember(runsc, engine, options)
      return engine
    }
    reasons.push(`${program} by ${platform}: ${result.why}`)
  }
  return undefined
}

function keyOf({ program, stamp }: Runsc, { preloadLibrary }: EngineOptions): string {
  return `${FORMAT} ${program} ${stamp} ${release()} ${preloadLibrary}`
}

async function remembered(runsc: Runsc, options: EngineOptions): Promise<Engine | undefined> {
  const text = await readFile(join(options.cache, 'gvisor.json'), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  try {
    const { key, engine } = Remembered.parse(JSON.parse(text))
    return key === keyOf(runsc, options) ? engine : undefined
  } catch {
    // Written by another version, or truncated: try again.
    return undefined
  }
}

async function remember(runsc: Runsc, engine: Engine, options: EngineOptions): Promise<void> {
  const path = join(options.cache, 'gvisor.json')
  const beside = `${path}.${process.pid}`
  await writeFile(beside, JSON.stringify({ key: keyOf(runsc, options), engine }), { mode: 0o600 })
  await rename(beside, path)
}
