import { readFile, rename, writeFile } from 'node:fs/promises'
import { release } from 'node:os'
import { join } from 'node:path'
import { Engine, Fault } from '@caisson/wire'
import { z } from 'zod'
import { type Runsc, runscs } from './found.ts'
import { PLATFORMS, tryPlatform } from './trial.ts'

/** What mends a machine without it. */
export const INSTALL = 'apt-get install -y runsc'

/** Raised when more is tried than before. */
const FORMAT = 2
const Remembered = z.strictObject({ key: z.string(), engine: Engine })

export interface EngineOptions {
  readonly runsc: string | null
  readonly agent: string
  /** What mends, for programs inside, what it refuses. */
  readonly preloadLibrary: string
  /** What listens to it, in a trial as later. */
  readonly keeper: string
  /** Folder that remembers what was tried: trying takes a second. */
  readonly cache: string
}

/** Of this process, by what it was looked for with. */
const known = new Map<string, Promise<Engine>>()

/** The newest runsc that runs something here, and by which platform. Rejects with WALL_UNAVAILABLE. */
export function gvisorEngine(options: EngineOptions, signal: AbortSignal): Promise<Engine> {
  const key = JSON.stringify([options.runsc, options.cache])
  const before = known.get(key)
  if (before !== undefined) return before
  const found = find(options, signal)
  known.set(key, found)
  // What is not there today may be installed tomorrow.
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
    // Written by another version, or torn: it is tried again.
    return undefined
  }
}

async function remember(runsc: Runsc, engine: Engine, options: EngineOptions): Promise<void> {
  const path = join(options.cache, 'gvisor.json')
  const beside = `${path}.${process.pid}`
  await writeFile(beside, JSON.stringify({ key: keyOf(runsc, options), engine }), { mode: 0o600 })
  await rename(beside, path)
}
