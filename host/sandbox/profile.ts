import { createHash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { Fault, type Network as NetworkWish, WALLS } from '@caisson/wire'
import { z } from 'zod'
import { egressOf } from '../airlock/egress.ts'
import { lineOfMember } from './json-lines.ts'
import { firstIssue, LIMITS, Network } from './request.ts'

/** Names, or paths of several names, that match anywhere in the folder. `*` stands for any part of a name (shield-patterns.ts). */
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
  /** Appear inside, but empty. */
  hidden: Patterns,
  /** Never hidden, whatever else matches. */
  shown: Patterns,
  /** Files with credentials are shown read-only and without the lines that hold them. */
  redacted: Patterns,
  /** Read-only, because the host acts on them unasked. A pattern that ends with / is a folder, made where the caller's folder has none. */
  fixed: Patterns,
  /** Folders that are not searched: their contents are shown as they are. */
  skipped: Patterns,
})
export type FolderChoice = z.infer<typeof Folder>

/** A named set of choices, from a file. A profile sets every field itself, or by the profile that it extends; there are no other defaults. */
const Complete = z.strictObject({
  description: z.string().max(400),
  /** One wall, or several in order of preference: a sandbox gets the first that this machine has, and never one that is not named. */
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
    /** `end`: hitting a limit ends the sandbox. `report`: it ends only the process that hit it, and the sandbox lives on. */
    onHit: z.enum(['end', 'report']),
  }),
  leash: z.enum(['host', 'none']),
  /**
   * `overlay`: root inside can write everywhere, and what is written lies on the sandbox's own disk. Needs root on the host; without it, the root file system
   * is read-only whatever is set here, and nobody inside can become root anyway.
   */
  root: z.enum(['read-only', 'overlay']),
  /**
   * `kept`: the disk is kept for the next sandbox with the same `workspace`, behind a wall that is no weaker. Needs root on the host. `scratch`: it is deleted
   * with the sandbox.
   */
  files: z.enum(['scratch', 'kept']),
  /** False: `sudo` works inside, for the root of the sandbox's own id range. Needs root on the host; without it, this is true whatever is set here. */
  noNewPrivileges: z.boolean(),
  seccomp: z.strictObject({ allowUserNamespaces: z.boolean() }),
  /** How the caller's working folder is shown, at its own path. Null: it is not shown. */
  folder: Folder.nullable(),
  scan: z.strictObject({
    /** What happens before code runs in which a rule finds something: `report` says so and runs it, `block` refuses it. */
    mode: z.enum(['off', 'report', 'block']),
    /** Besides hostile code, also finds modules and calls for the network, for running programs, and around the language. */
    banned: z.boolean(),
  }),
  audit: z.strictObject({
    /** Record what every process inside executes. */
    commands: z.boolean(),
    /** Audit records per sandbox. Beyond that, its further commands are refused. */
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

/** SHA-256 of everything that a profile says, with what it extends. White space and order in its file do not count. */
export function profileHash(profile: Profile): string {
  return createHash('sha256').update(JSON.stringify(profile)).digest('hex')
}

const NAME = /^[a-z0-9-]{1,64}$/
const MAX_EXTENDS = 8
const MAX_BYTES = 256 * 1024

/** Folders of profiles: those that ship, then the operator's own. The first folder that has a name wins. */
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

/** All profiles. An invalid one is PROFILE_INVALID, naming its file. */
export async function readProfiles(folders: ProfileFolders, signal: AbortSignal): Promise<Profile[]> {
  return Promise.all([...(await profilePaths(folders)).keys()].sort().map((name) => readProfile(folders, name, signal)))
}

/** Rejects with PROFILE_UNKNOWN, or PROFILE_INVALID naming the file and the field. */
export async function readProfile(folders: ProfileFolders, name: string, signal: AbortSignal): Promise<Profile> {
  return (await traceProfile(folders, name, signal)).profile
}

/** As `readProfile`, with the files that it was made of, the profile's own first. A path (`./own.json`) is read as if it lay in one of the folders. */
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

/** Line number, from 1. If the parser gives no position, the text ended too early. */
function lineOf(text: string, reason: string): number {
  const [, position = text.length] = /at position (\d+)/.exec(reason) ?? []
  return text.slice(0, Number(position)).split('\n').length
}

/** `said` begins with the name of the member at fault. */
function placeIn(path: string, text: string, said: string): string {
  const [, member = ''] = /^([\w.-]+):/.exec(said) ?? []
  return `${path}:${lineOfMember(text, member)}`
}

/** Reports invalid rules when the profile is read, not when the first sandbox uses the network. */
async function checkNetwork(network: NetworkWish, path: string, text: string): Promise<void> {
  try {
    // The hosts of `registries` are resolved later, and are no reason to refuse.
    await egressOf(network, async () => [])
  } catch (cause) {
    if (!(cause instanceof Fault)) throw cause
    throw new Fault('PROFILE_INVALID', `${placeIn(path, text, cause.message)}: ${cause.message}`, { hint: cause.hint, cause })
  }
}

/** `over` wins; the rest comes from `base`. Groups are merged member by member. */
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
