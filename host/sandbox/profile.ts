import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault, type Network as NetworkWish, WALLS } from '@caisson/wire'
import { z } from 'zod'
import { egressOf } from '../airlock/egress.ts'
import { firstIssue, LIMITS, Network } from './request.ts'

/** A named set of choices, from a file. Everything is said: a profile has no defaults but those of the profile that it extends. */
const Complete = z.strictObject({
  description: z.string().max(400),
  wall: z.enum(WALLS),
  template: z.string().regex(/^[a-z0-9-]{1,32}$/),
  network: Network,
  limits: z.strictObject({
    timeoutMs: LIMITS.timeoutMs,
    memoryMiB: LIMITS.memoryMiB,
    cpus: LIMITS.cpus,
    pids: LIMITS.pids,
    diskMiB: LIMITS.diskMiB,
    outputMiB: LIMITS.outputMiB,
    openFiles: LIMITS.openFiles,
    /** `end`: a hit ends the sandbox. `report`: it ends what hit it, and the sandbox lives on. */
    onHit: z.enum(['end', 'report']),
  }),
  leash: z.enum(['host', 'none']),
  /**
   * `overlay`: all of the root can be written to by root inside, and what is written is the sandbox's own, on its disk. Needs root on the host; without it,
   * it is read-only whatever is said here, and there is no root inside who would miss it.
   */
  root: z.enum(['read-only', 'overlay']),
  /** False: `sudo` works inside, for root of the sandbox's own ids. Needs root on the host; without it, it is true whatever is said here. */
  noNewPrivileges: z.boolean(),
  seccomp: z.strictObject({ allowUserNamespaces: z.boolean() }),
  audit: z.strictObject({
    /** Record what every process inside executes. */
    commands: z.boolean(),
    /** Records of one sandbox; then its further commands are refused. */
    maxMiB: z.int().min(1).max(1024),
  }),
})
export type Profile = z.infer<typeof Complete> & { readonly name: string }

const shape = Complete.shape
const File = Complete.partial().extend({
  extends: z.string().optional(),
  limits: shape.limits.partial().optional(),
  seccomp: shape.seccomp.partial().optional(),
  audit: shape.audit.partial().optional(),
})
type File = z.infer<typeof File>

const NAME = /^[a-z0-9-]{1,64}$/
const MAX_EXTENDS = 8

async function profileNames(folder: string): Promise<string[]> {
  const files = await readdir(folder)
  return files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length))
}

/** All there are. One that is not valid is PROFILE_INVALID, naming its file. */
export async function readProfiles(folder: string, signal: AbortSignal): Promise<Profile[]> {
  return Promise.all((await profileNames(folder)).sort().map((name) => readProfile(folder, name, signal)))
}

/** Rejects with PROFILE_UNKNOWN, or PROFILE_INVALID naming the file and the field. */
export async function readProfile(folder: string, name: string, signal: AbortSignal): Promise<Profile> {
  let merged: File = {}
  const seen: string[] = []
  for (let next: string | undefined = name; next !== undefined; ) {
    if (seen.includes(next) || seen.length >= MAX_EXTENDS) {
      throw new Fault('PROFILE_INVALID', `${join(folder, `${name}.json`)}: extends: ${[...seen, next].join(' -> ')} has no end`)
    }
    seen.push(next)
    const { file, text } = await readFileOf(folder, next, seen.at(-2), signal)
    if (file.network !== undefined && merged.network === undefined) await checkNetwork(file.network, join(folder, `${next}.json`), text)
    merged = under(file, merged)
    next = file.extends
  }
  const { extends: _, ...whole } = merged
  const complete = Complete.safeParse(whole)
  if (!complete.success) throw invalid(join(folder, `${name}.json`), complete.error)
  return Object.freeze({ name, ...complete.data })
}

async function readFileOf(
  folder: string,
  name: string,
  wantedBy: string | undefined,
  signal: AbortSignal,
): Promise<{ file: File; text: string }> {
  const path = join(folder, `${name}.json`)
  let text: string
  try {
    if (!NAME.test(name)) throw new Error('not a name of a profile')
    text = await readFile(path, { encoding: 'utf8', signal })
  } catch (cause) {
    const known = (await profileNames(folder)).join(', ')
    if (wantedBy !== undefined)
      throw new Fault('PROFILE_INVALID', `${join(folder, `${wantedBy}.json`)}: extends: no profile ${name}`, { cause })
    throw new Fault('PROFILE_UNKNOWN', `no profile ${JSON.stringify(name)}; there are: ${known}`, { cause })
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new Fault('PROFILE_INVALID', `${path}: ${cause instanceof Error ? cause.message : 'not JSON'}`, { cause })
  }
  const file = File.safeParse(json)
  if (!file.success) throw invalid(path, file.error)
  return { file: file.data, text }
}

/** What is wrong with its rules is said when it is read, not when the first sandbox wants out. */
async function checkNetwork(network: NetworkWish, path: string, text: string): Promise<void> {
  try {
    // Which hosts `registries` stands for is known later, and no reason to refuse.
    await egressOf(network, async () => [])
  } catch (cause) {
    if (!(cause instanceof Fault)) throw cause
    const [rule] = /"(?:[^"\\]|\\.)*"/.exec(cause.message) ?? []
    const line = rule === undefined ? -1 : text.split('\n').findIndex((one) => one.includes(rule))
    const where = line < 0 ? path : `${path}:${line + 1}`
    throw new Fault('PROFILE_INVALID', `${where}: ${cause.message}`, { hint: cause.hint, cause })
  }
}

/** What `over` says stands; the rest comes from `base`. Groups are merged member by member. */
function under(base: File, over: File): File {
  const merged: Record<string, unknown> = { ...base, ...over }
  for (const group of ['limits', 'seccomp', 'audit'] as const) {
    if (base[group] !== undefined || over[group] !== undefined) merged[group] = { ...base[group], ...over[group] }
  }
  return merged as File
}

function invalid(path: string, error: z.ZodError): Fault {
  return new Fault('PROFILE_INVALID', `${path}: ${firstIssue(error)}`, { cause: error })
}
