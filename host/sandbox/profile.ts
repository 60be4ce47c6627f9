import { createHash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { Fault, type Network as NetworkWish, WALLS } from '@caisson/wire'
import { z } from 'zod'
import { egressOf } from '../airlock/egress.ts'
import { lineOfMember } from './json-lines.ts'
import { firstIssue, LIMITS, Network } from './request.ts'

/** Names, and paths of several names, wherever they are in the folder; `*` stands for any part of a name (shield-patterns.ts). */
const Patterns = z
  .array(
    z
      .string()
      .min(1)
      .max(256)
      .regex(/^(?!\/)(?!.*\/\/)[^\0]+$/, 'must be a name, or names with / between them')
      .refine((pattern) => pattern.split('/').every((part) => part !== '.' && part !== '..'), 'must not contain . or ..'),
  )
  .max(256)

const Folder = z.strictObject({
  mode: z.enum(['ro', 'rw']),
  /** There, and empty. */
  hidden: Patterns,
  /** Not hidden, whatever else matches. */
  shown: Patterns,
  /** Shown without the lines that hold a credential, and read-only, where there are such lines. */
  redacted: Patterns,
  /** Read-only: what the host acts on without being asked. One that ends with / is a folder, made where the folder of the caller has none. */
  fixed: Patterns,
  /** Not looked into: what is in them is shown as it is. */
  skipped: Patterns,
})
export type FolderChoice = z.infer<typeof Folder>

/** A named set of choices, from a file. Everything is said: a profile has no defaults but those of the profile that it extends. */
const Complete = z.strictObject({
  description: z.string().max(400),
  /** One; or several, of which a sandbox gets the first that this machine has, and none that is not named here. */
  wall: z.union([
    z.enum(WALLS),
    z
      .array(z.enum(WALLS))
      .min(1)
      .refine((walls) => new Set(walls).size === walls.length, 'names a wall twice'),
  ]),
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
  /**
   * `kept`: what a sandbox leaves on its disk is there for the next one of the same `workspace`, behind a wall that is no weaker. Needs root on the host.
   * `scratch`: it goes with the sandbox.
   */
  files: z.enum(['scratch', 'kept']),
  /** False: `sudo` works inside, for root of the sandbox's own ids. Needs root on the host; without it, it is true whatever is said here. */
  noNewPrivileges: z.boolean(),
  seccomp: z.strictObject({ allowUserNamespaces: z.boolean() }),
  /** The folder of the machine that the caller works in: how it is shown, at its own path. Null: it is not. */
  folder: Folder.nullable(),
  scan: z.strictObject({
    /** What is done with code that a rule finds, before it runs: `report` says so and runs it, `block` refuses it. */
    mode: z.enum(['off', 'report', 'block']),
    /** Besides what is hostile: modules and calls for the network, for programs, and around the language. */
    banned: z.boolean(),
  }),
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
  folder: Folder.partial().nullable().optional(),
  scan: shape.scan.partial().optional(),
  audit: shape.audit.partial().optional(),
})
type File = z.infer<typeof File>

/** SHA-256 of all that a profile says, with what it extends; its file's spaces and order do not count. */
export function profileHash(profile: Profile): string {
  return createHash('sha256').update(JSON.stringify(profile)).digest('hex')
}

const NAME = /^[a-z0-9-]{1,64}$/
const MAX_EXTENDS = 8
const MAX_BYTES = 256 * 1024

/** Where profiles lie: those that ship, then the operator's own. A name belongs to the first that has it. */
export type ProfileFolders = readonly string[]

export async function profilePaths(folders: ProfileFolders): Promise<Map<string, string>> {
  const paths = new Map<string, string>()
  for (const folder of folders) {
    for (const file of (await readdir(folder)).filter((file) => file.endsWith('.json')).sort()) {
      const [name, path] = [file.slice(0, -'.json'.length), join(folder, file)]
      const other = paths.get(name)
      if (other !== undefined)
        throw new Fault('PROFILE_INVALID', `${path}: ${other} has this name already`, { hint: 'Give it another name.' })
      paths.set(name, path)
    }
  }
  return paths
}

/** All there are. One that is not valid is PROFILE_INVALID, naming its file. */
export async function readProfiles(folders: ProfileFolders, signal: AbortSignal): Promise<Profile[]> {
  return Promise.all([...(await profilePaths(folders)).keys()].sort().map((name) => readProfile(folders, name, signal)))
}

/** Rejects with PROFILE_UNKNOWN, or PROFILE_INVALID naming the file and the field. */
export async function readProfile(folders: ProfileFolders, name: string, signal: AbortSignal): Promise<Profile> {
  return (await traceProfile(folders, name, signal)).profile
}

/** The same, with the files that it was made of, itself first. What is no name but a path (`./own.json`) is read as if it lay among the others. */
export async function traceProfile(
  folders: ProfileFolders,
  nameOrPath: string,
  signal: AbortSignal,
): Promise<{ profile: Profile; files: { name: string; path: string; says: File }[] }> {
  let merged: File = {}
  const paths = await profilePaths(folders)
  const name = nameOrPath.endsWith('.json') ? basename(nameOrPath, '.json') : nameOrPath
  if (nameOrPath.endsWith('.json')) paths.set(name, resolve(nameOrPath))
  const files: { name: string; path: string; says: File }[] = []
  for (let next: string | undefined = name; next !== undefined; ) {
    const [first = { path: '' }, last] = [files[0], files.at(-1)]
    if (files.some((file) => file.name === next) || files.length >= MAX_EXTENDS) {
      const way = [...files.map((file) => file.name), next].join(' -> ')
      throw new Fault('PROFILE_INVALID', `${first.path}: extends: ${way} has no end`)
    }
    const path = NAME.test(next) ? paths.get(next) : undefined
    if (path === undefined && last !== undefined) throw new Fault('PROFILE_INVALID', `${last.path}: extends: no profile ${next}`)
    if (path === undefined) {
      throw new Fault('PROFILE_UNKNOWN', `no profile ${JSON.stringify(name)}; there are: ${[...paths.keys()].sort().join(', ')}`)
    }
    const { file, text } = await readFileOf(path, signal)
    if (file.network !== undefined && merged.network === undefined) await checkNetwork(file.network, path, text)
    merged = under(file, merged)
    files.push({ name: next, path, says: file })
    next = file.extends
  }
  const { extends: _, ...whole } = merged
  const complete = Complete.safeParse(whole)
  if (!complete.success) throw invalid(files[0]?.path ?? name, complete.error)
  return { profile: Object.freeze({ name, ...complete.data }), files }
}

async function readFileOf(path: string, signal: AbortSignal): Promise<{ file: File; text: string }> {
  const { size } = await stat(path).catch((cause: unknown) => {
    throw new Fault('PROFILE_UNKNOWN', `${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  })
  if (size > MAX_BYTES) throw new Fault('PROFILE_INVALID', `${path}: more than ${MAX_BYTES / 1024} KiB`)
  const text = await readFile(path, { encoding: 'utf8', signal })
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'not JSON'
    throw new Fault('PROFILE_INVALID', `${path}:${lineOf(text, reason)}: ${reason}`, { cause })
  }
  const file = File.safeParse(json)
  if (!file.success) throw invalid(placeIn(path, text, firstIssue(file.error)), file.error)
  return { file: file.data, text }
}

/** From 1. The parser names a position; where it names none, the text has broken off. */
function lineOf(text: string, reason: string): number {
  const [, position = text.length] = /at position (\d+)/.exec(reason) ?? []
  return text.slice(0, Number(position)).split('\n').length
}

/** `said` begins with the member that it is about. */
function placeIn(path: string, text: string, said: string): string {
  const [, member = ''] = /^([\w.-]+):/.exec(said) ?? []
  return `${path}:${lineOfMember(text, member)}`
}

/** What is wrong with its rules is said when it is read, not when the first sandbox wants out. */
async function checkNetwork(network: NetworkWish, path: string, text: string): Promise<void> {
  try {
    // Which hosts `registries` stands for is known later, and no reason to refuse.
    await egressOf(network, async () => [])
  } catch (cause) {
    if (!(cause instanceof Fault)) throw cause
    throw new Fault('PROFILE_INVALID', `${placeIn(path, text, cause.message)}: ${cause.message}`, { hint: cause.hint, cause })
  }
}

/** What `over` says stands; the rest comes from `base`. Groups are merged member by member. */
function under(base: File, over: File): File {
  const merged: Record<string, unknown> = { ...base, ...over }
  for (const group of ['limits', 'seccomp', 'folder', 'scan', 'audit'] as const) {
    const [below, above] = [base[group], over[group]]
    if (above !== null && (below ?? above) != null) merged[group] = { ...below, ...above }
  }
  return merged as File
}

function invalid(place: string, error: z.ZodError): Fault {
  return new Fault('PROFILE_INVALID', `${place}: ${firstIssue(error)}`, { cause: error })
}
