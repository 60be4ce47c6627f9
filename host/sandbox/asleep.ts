import { existsSync } from 'node:fs'
import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { Fault, type Plan } from '@caisson/wire'
import { z } from 'zod'
import { copySparse } from './sparse-copy.ts'
import { MEMORY_FILES, STATE_FILES, Sums, sums } from './state-files.ts'

/** The keeper writes this file last (native/keeper/src/whole.rs). A saved state without it is incomplete. */
const WHOLE = 'whole.json'
const MADE = 'made.json'
/** Increased whenever states of earlier versions can no longer be restored. */
const FORMAT = 3
const NANOSECONDS = 1_000_000_000n

/** What a state can be restored with: only the very programs and images that it was written with. */
const Made = z.strictObject({
  format: z.int(),
  architecture: z.string(),
  engine: z.string(),
  processor: z.string(),
  parts: z.record(z.string(), z.string()),
})
type Made = z.infer<typeof Made>

/** Checksums of what was written. `disk`: size and modification time (in seconds) of the disk that belongs to it, if that lies elsewhere. */
const Whole = z.strictObject({ sums: Sums, disk: z.strictObject({ bytes: z.int(), changed: z.string() }).optional() })
type Whole = z.infer<typeof Whole>

/** Where the memory of a sleeping sandbox lies, among the kept disks. */
export function sleepingPlace(keptFolder: string, id: string): string {
  return join(keptFolder, `${id}.asleep`)
}

/** Prepares an empty folder for the memory of a sandbox that is about to sleep. */
export async function layDown(folder: string, plan: Plan): Promise<void> {
  await forget(folder)
  await mkdir(folder, { mode: 0o700 })
  const file = await open(join(folder, MADE), 'wx', 0o600)
  try {
    await file.writeFile(JSON.stringify(await madeBy(plan)))
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Copies a memory that has been verified, and the disk that belongs to it, into one new folder. */
export async function copyMemory(
  plan: Plan,
  from: { memory: string; disk: string },
  folder: string,
  keeper: string,
  signal: AbortSignal,
): Promise<void> {
  await mkdir(folder, { mode: 0o700 })
  for (const name of [MADE, ...MEMORY_FILES[plan.wall]]) await copySparse(join(from.memory, name), join(folder, name), signal)
  const names = STATE_FILES[plan.wall]
  for (const name of names.filter((one) => !MEMORY_FILES[plan.wall].includes(one))) await copySparse(from.disk, join(folder, name), signal)
  const draft = join(folder, `${WHOLE}.partial`)
  await writeFile(draft, JSON.stringify({ sums: await sums(keeper, folder, names, signal) }), { mode: 0o600, flush: true })
  await rename(draft, join(folder, WHOLE))
}

/** Whether the folder holds a complete memory. */
export function sleepsIn(folder: string): boolean {
  return existsSync(join(folder, WHOLE))
}

/** Deletes a saved memory. */
export async function forget(folder: string): Promise<void> {
  // The marker goes first: after a power cut, what is left counts as incomplete.
  await rm(join(folder, WHOLE), { force: true })
  await rm(folder, { recursive: true, force: true })
}

/**
 * The plan for waking this sandbox over the disk `image`. Rejects with MEMORY_UNUSABLE when the memory is damaged, was written with other programs or images
 * than these, or is older than the disk.
 */
export async function waking(
  { plan, folder, image }: { plan: Plan; folder: string; image: string },
  keeper: string,
  signal: AbortSignal,
): Promise<Plan> {
  const whose = `sandbox ${plan.id}`
  const { disk: before } = await refuseForeign({ plan, folder, whose })
  const disk = await stat(image, { bigint: true }).catch((cause: unknown) => {
    throw unusable(whose, 'its disk is gone', cause)
  })
  const changed = `${disk.mtimeNs / NANOSECONDS}.${String(disk.mtimeNs % NANOSECONDS).padStart(9, '0')}`
  if (before?.bytes !== Number(disk.size) || before.changed !== changed) throw unusable(whose, 'its disk was written to since')
  await refuseDamaged({ folder, whose, names: MEMORY_FILES[plan.wall] }, keeper, signal)
  return plan.engine === null ? plan : { ...plan, engine: { ...plan.engine, warm: { op: 'wake', folder } } }
}

export function unusable(whose: string, why: string, cause?: unknown): Fault {
  return new Fault('MEMORY_UNUSABLE', `the memory of ${whose} cannot be taken on: ${why}`, { cause })
}

/** Compares the files beside the memory with the plan. Rejects with MEMORY_UNUSABLE when there is no memory, or it was written with other parts. */
export async function refuseForeign({ plan, folder, whose }: { plan: Plan; folder: string; whose: string }): Promise<Whole> {
  const made = await read(folder, MADE, Made, whose)
  const now = await madeBy(plan).catch((cause: unknown) => {
    throw unusable(whose, 'a part of its machine is gone', cause)
  })
  const differs = different(made, now)
  if (differs !== undefined) throw unusable(whose, `it was written with another ${differs}`)
  return await read(folder, WHOLE, Whole, whose)
}

/** Rejects with MEMORY_UNUSABLE when the checksums of these files differ from those written. */
export async function refuseDamaged(
  { folder, whose, names }: { folder: string; whose: string; names: readonly string[] },
  keeper: string,
  signal: AbortSignal,
): Promise<void> {
  const whole = await read(folder, WHOLE, Whole, whose)
  const found = await sums(keeper, folder, names, signal).catch((cause: unknown) => {
    throw unusable(whose, 'it cannot be read', cause)
  })
  if (!isDeepStrictEqual(found, whole.sums)) throw unusable(whose, 'it is not what was written: its sum differs')
}

async function read<T>(folder: string, name: string, shape: z.ZodType<T>, whose: string): Promise<T> {
  try {
    return shape.parse(JSON.parse(await readFile(join(folder, name), 'utf8')))
  } catch (cause) {
    throw unusable(whose, `${name} is missing or damaged`, cause)
  }
}

function different(made: Made, now: Made): string | undefined {
  if (made.format !== now.format) return `version of Caisson (format ${made.format}, not ${now.format})`
  if (made.architecture !== now.architecture) return `architecture (${made.architecture}, not ${now.architecture})`
  if (made.engine !== now.engine) return `engine (${made.engine}, not ${now.engine})`
  if (made.processor !== now.processor) return `processor (${made.processor}, not ${now.processor})`
  const part = Object.keys({ ...made.parts, ...now.parts }).find((name) => made.parts[name] !== now.parts[name])
  return part && `${part} (${made.parts[part]}, not ${now.parts[part]})`
}

/** As of now. */
async function madeBy({ engine, machine }: Plan): Promise<Made> {
  const stamps = Object.entries({ usr: machine?.usr, shown: machine?.shown, program: engine?.program }).flatMap(([name, path]) =>
    path === undefined ? [] : [stat(path).then(({ size, mtimeMs }): [string, string] => [name, `${path} ${size} ${mtimeMs}`])],
  )
  return {
    format: FORMAT,
    architecture: process.arch,
    engine: `${engine?.version} by ${engine?.platform}`,
    processor: cpus()[0]?.model ?? '',
    parts: Object.fromEntries(await Promise.all(stamps)),
  }
}
