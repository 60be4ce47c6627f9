import { existsSync } from 'node:fs'
import { mkdir, open, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { Fault, type Plan } from '@caisson/wire'
import { z } from 'zod'
import { Sums, sums } from './state-files.ts'

/** Of a sandbox that sleeps, as our keeper names them (native/keeper/src/machine/saving.rs). */
const STATE = ['state'] as const
/** Written last, by the keeper (native/keeper/src/whole.rs): a state without it was not written to its end. */
const WHOLE = 'whole.json'
const MADE = 'made.json'
/** Raised when a state of before could not be taken on. */
const FORMAT = 1
const NANOSECONDS = 1_000_000_000n

/** What a state is good for, and nothing else: the very programs and images that it was written by and over. */
const Made = z.strictObject({
  format: z.int(),
  architecture: z.string(),
  engine: z.string(),
  parts: z.record(z.string(), z.string()),
})
type Made = z.infer<typeof Made>

/** What was written, and the disk that goes with it: size, and seconds of its last change. */
const Whole = z.strictObject({ sums: Sums, disk: z.strictObject({ bytes: z.int(), changed: z.string() }) })

/** Of a sandbox of that id, among disks that are kept. */
export function sleepingPlace(keptFolder: string, id: string): string {
  return join(keptFolder, `${id}.asleep`)
}

/** An empty folder for the memory of a sandbox that is about to sleep. */
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

/** Whether a whole memory lies there. */
export function sleepsIn(folder: string): boolean {
  return existsSync(join(folder, WHOLE))
}

/** Nothing wakes from there any more. */
export async function forget(folder: string): Promise<void> {
  // Without its last word, what is left after a power cut is nothing.
  await rm(join(folder, WHOLE), { force: true })
  await rm(folder, { recursive: true, force: true })
}

/**
 * The same sandbox, to be woken over the disk of that image. Rejects with MEMORY_UNUSABLE when what lies there is damaged, was written with something else
 * than what is here, or is older than the disk.
 */
export async function waking(
  { plan, folder, image }: { plan: Plan; folder: string; image: string },
  keeper: string,
  signal: AbortSignal,
): Promise<Plan> {
  const refuse = (why: string, cause?: unknown) =>
    new Fault('MEMORY_UNUSABLE', `the memory of sandbox ${plan.id} cannot be taken on: ${why}`, { cause })
  const read = async <T>(name: string, shape: z.ZodType<T>): Promise<T> => {
    try {
      return shape.parse(JSON.parse(await readFile(join(folder, name), 'utf8')))
    } catch (cause) {
      throw refuse(`${name} is missing or damaged`, cause)
    }
  }
  const made = await read(MADE, Made)
  const now = await madeBy(plan).catch((cause: unknown) => {
    throw refuse('a part of its machine is gone', cause)
  })
  const differs = different(made, now)
  if (differs !== undefined) throw refuse(`it was written with another ${differs}`)
  const whole = await read(WHOLE, Whole)
  const disk = await stat(image, { bigint: true }).catch((cause: unknown) => {
    throw refuse('its disk is gone', cause)
  })
  const changed = `${disk.mtimeNs / NANOSECONDS}.${String(disk.mtimeNs % NANOSECONDS).padStart(9, '0')}`
  if (whole.disk.bytes !== Number(disk.size) || whole.disk.changed !== changed) throw refuse('its disk was written to since')
  const found = await sums(keeper, folder, STATE, signal).catch((cause: unknown) => {
    throw refuse('it cannot be read', cause)
  })
  if (!isDeepStrictEqual(found, whole.sums)) throw refuse('it is not what was written: its sum differs')
  return plan.engine === null ? plan : { ...plan, engine: { ...plan.engine, warm: { op: 'wake', folder } } }
}

function different(made: Made, now: Made): string | undefined {
  if (made.format !== now.format) return `version of Caisson (format ${made.format}, not ${now.format})`
  if (made.architecture !== now.architecture) return `architecture (${made.architecture}, not ${now.architecture})`
  if (made.engine !== now.engine) return `engine (${made.engine}, not ${now.engine})`
  const part = Object.keys({ ...made.parts, ...now.parts }).find((name) => made.parts[name] !== now.parts[name])
  return part && `${part} (${made.parts[part]}, not ${now.parts[part]})`
}

/** Of what is there now. */
async function madeBy({ engine, machine }: Plan): Promise<Made> {
  const stamps = Object.entries({ usr: machine?.usr, shown: machine?.shown, program: engine?.program }).flatMap(([name, path]) =>
    path === undefined ? [] : [stat(path).then(({ size, mtimeMs }): [string, string] => [name, `${path} ${size} ${mtimeMs}`])],
  )
  return {
    format: FORMAT,
    architecture: process.arch,
    engine: `${engine?.version} by ${engine?.platform}`,
    parts: Object.fromEntries(await Promise.all(stamps)),
  }
}
