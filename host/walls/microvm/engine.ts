import { readFile, rename, writeFile } from 'node:fs/promises'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { Engine, Fault } from '@caisson/wire'
import { z } from 'zod'
import type { Built } from '../wall.ts'
import { type Parts, parts, type Qemu, qemu } from './found.ts'
import { type InitrdOptions, initrd } from './initrd.ts'
import { ACCELERATORS, tryAccelerator } from './trial.ts'

const Remembered = z.strictObject({ key: z.string(), engine: Engine })

export interface EngineOptions extends Omit<InitrdOptions, 'kernel'> {
  readonly templates: string
  /** For a QEMU that cannot map memory that it may not write. */
  readonly readonlyLibrary: string
}

/** The first that can (`rom=off` of memory-backend-file). */
const READS_BY_ITSELF = [8, 2] as const

/** Of this process, by what it was looked for with. */
const known = new Map<string, Promise<Engine>>()

/** QEMU, by what started a machine here, and the parts of machines. Rejects with WALL_UNAVAILABLE. */
export async function machineEngine(options: EngineOptions, signal: AbortSignal): Promise<Built> {
  const found = await parts(options.templates)
  const start = await initrd({ ...options, kernel: found.kernel })
  const program = await qemu(signal)
  const key = JSON.stringify([program, found.kernel, options.templates])
  const before = known.get(key)
  const tried = before ?? engine(program, found, start, options, signal)
  if (before === undefined) {
    known.set(key, tried)
    // What does not start today may start tomorrow.
    tried.catch(() => known.delete(key))
  }
  const reader = readsByItself(program.version) ? null : options.readonlyLibrary
  return { engine: await tried, machine: { kernel: join(found.kernel, 'vmlinux'), initrd: start, usr: found.usr, reader } }
}

function readsByItself(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [least, leastMinor] = READS_BY_ITSELF
  return major > least || (major === least && minor >= leastMinor)
}

async function engine(program: Qemu, found: Parts, start: string, { templates }: EngineOptions, signal: AbortSignal): Promise<Engine> {
  const memory = join(templates, 'machine', 'engine.json')
  const key = `${program.stamp} ${found.kernel} ${release()} ${cpus()[0]?.model ?? ''}`
  const before = await remembered(memory, key)
  if (before !== undefined) return before
  const reasons: string[] = []
  for (const platform of ACCELERATORS) {
    const tried = await tryAccelerator(program, platform, { kernel: found.kernel, initrd: start }, signal)
    if ('ms' in tried) {
      const engine: Engine = { program: program.program, version: program.version, platform, preload: null, warm: null }
      const beside = `${memory}.${process.pid}`
      await writeFile(beside, JSON.stringify({ key, engine }), { mode: 0o644 })
      await rename(beside, memory)
      return engine
    }
    reasons.push(`by ${platform}: ${tried.why}`)
  }
  throw new Fault('WALL_UNAVAILABLE', `microvm: ${program.program} starts no machine: ${reasons.join('; ')}`, {
    hint: '`caisson doctor` tries it again.',
  })
}

async function remembered(path: string, key: string): Promise<Engine | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  try {
    const before = Remembered.parse(JSON.parse(text))
    return before.key === key ? before.engine : undefined
  } catch {
    // Written by another version, or torn: it is tried again.
    return undefined
  }
}
