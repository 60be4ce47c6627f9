import { Fault, MAX_FRAME_BYTES, type NetworkFile, type RunRequest, type StartRequest, wallNamed } from '@caisson/wire'
import { z } from 'zod'
import { notKnown } from './not-yet.ts'

const MAX_DAYS_MS = 30 * 24 * 3600 * 1000
const MAX_MEMORY_MIB = 16 * 1024 * 1024
/** Longer programs must be files. */
const MAX_CODE_CHARACTERS = 8 * 1024 * 1024
const MAX_DISK_MIB = 16 * 1024 * 1024

/** Bounds of every limit; null means explicitly unlimited. */
export const LIMITS = {
  timeoutMs: z.int().min(1).max(MAX_DAYS_MS).nullable(),
  /** With less than this, not even the agent and a shell start. */
  memoryMiB: z.int().min(16).max(MAX_MEMORY_MIB).nullable(),
  cpus: z.number().min(0.01).max(1024).nullable(),
  pids: z.int().min(4).max(1_000_000).nullable(),
  diskMiB: z.int().min(4).max(MAX_DISK_MIB),
  outputMiB: z
    .number()
    .min(0.001)
    .max(1024 * 1024)
    .nullable(),
  openFiles: z.int().min(16).max(1_048_576),
} as const

/** Maximum length of a network policy, as JSON. */
const MAX_NETWORK_CHARACTERS = 65_536
const NETWORK_WORDS = /^(none|open|replay|allow:[^,\s]+(,[^,\s]+)*)$/

/** What a sandbox may reach, as in wire/network.ts. Its contents are checked by the code that interprets them (airlock/egress.ts). */
export const Network = z.union(
  [
    z.string().max(16_384).regex(NETWORK_WORDS),
    z.custom<NetworkFile>(
      (value) =>
        typeof value === 'object' && value !== null && !Array.isArray(value) && JSON.stringify(value).length <= MAX_NETWORK_CHARACTERS,
    ),
  ],
  `must be none, open, replay, or allow: and a list of hosts, \`registries\` among them; or an object with mode, of at most ${MAX_NETWORK_CHARACTERS} characters`,
)

const AbsolutePath = z
  .string()
  .max(4096)
  .startsWith('/', 'must be an absolute path')
  .refine((path) => !path.includes('\0'), 'must not contain NUL')

/** A lone surrogate (as in text cut in the middle of an emoji) is not valid text: neither the audit record nor a program inside can hold it. */
const isWhole = (text: string) => !/\p{Surrogate}/u.test(text)
const HALF = 'has half of a character in it'

/**
 * Any environment that execve can pass, not only names that a shell could set: whole environments are handed on, with `ProgramFiles(x86)` and
 * `BASH_FUNC_which%%` in them.
 */
export const Environment = z
  .record(
    z.string(),
    z
      .string()
      .max(128 * 1024)
      .refine(isWhole, HALF),
  )
  .superRefine((env, context) => {
    const wrong = Object.keys(env).find((name) => !/^[^=\0\p{Surrogate}]+$/u.test(name))
    if (wrong !== undefined) context.addIssue({ code: 'custom', path: [wrong], message: 'not a name of a variable' })
  })
  .refine((env) => Object.keys(env).length <= 512, 'more than 512 variables')
  .refine((env) => Object.values(env).every((value) => !value.includes('\0')), 'a value contains NUL')

/** Strict form of CreateRequest of wire/door.ts: an unknown field is refused by name. */
export const StrictCreateRequest = z.strictObject({
  profile: z.string().max(64).optional(),
  /** An unknown name is WALL_UNKNOWN. */
  wall: z.string().transform(wallNamed).optional(),
  template: z.string().max(64).optional(),
  network: Network.optional(),
  env: Environment.optional(),
  metadata: z
    .record(z.string().max(256).refine(isWhole, HALF), z.string().max(4096).refine(isWhole, HALF))
    .refine((metadata) => Object.keys(metadata).length <= 64, 'more than 64 entries')
    .optional(),
  timeoutMs: LIMITS.timeoutMs.optional(),
  memoryMiB: LIMITS.memoryMiB.optional(),
  cpus: LIMITS.cpus.optional(),
  pids: LIMITS.pids.optional(),
  diskMiB: LIMITS.diskMiB.optional(),
  outputMiB: LIMITS.outputMiB.optional(),
  openFiles: LIMITS.openFiles.optional(),
  mounts: z
    .array(z.strictObject({ source: AbsolutePath, target: AbsolutePath, mode: z.enum(['ro', 'rw']) }))
    .max(64)
    .optional(),
  folder: AbsolutePath.optional(),
  workspace: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be made of a-z, 0-9 and -, and be at most 63 long')
    .optional(),
  scan: z.enum(['off', 'report', 'block']).optional(),
  leash: z.enum(['host', 'none']).optional(),
})
export type StrictCreateRequest = z.infer<typeof StrictCreateRequest>

/** Terminal size, as the kernel counts it. 0 means unknown, as for a terminal that was given no size. */
const Cells = z.int().min(0).max(65_535)
const Size = z.strictObject({ columns: Cells, rows: Cells })
const Text = z
  .string()
  .refine((text) => !text.includes('\0'), 'must not contain NUL')
  .refine(isWhole, HALF)

/** Strict form of StartRequest of wire/door.ts. */
const StrictStartRequest = z.strictObject({
  command: Text.min(1).max(4096),
  args: z.array(Text).max(65_536).optional(),
  env: Environment.optional(),
  cwd: Text.max(4096).optional(),
  user: Text.max(64).optional(),
  stdin: z.boolean().optional(),
  pty: Size.optional(),
  tag: Text.max(1024).optional(),
  timeoutMs: z.int().min(1).max(MAX_DAYS_MS).optional(),
})

/** Throws BAD_REQUEST naming the field. */
export function parseStart(request: unknown): StartRequest {
  return strictly(StrictStartRequest, request) as StartRequest
}

/** Throws BAD_REQUEST for a request that is too large to be sent, before it is examined in full. */
export function refuseLarge<R extends StartRequest>(request: R): R {
  const { command, args = [], cwd = '', env = {} } = request
  const bytes = [command, cwd, ...args, ...Object.entries(env).flat()].reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  if (bytes <= MAX_FRAME_BYTES) return request
  throw new Fault('BAD_REQUEST', `the command, its arguments and its variables take ${bytes} bytes, more than ${MAX_FRAME_BYTES}`)
}

const StrictContextRequest = z.strictObject({ language: z.string().max(64), cwd: Text.min(1).max(4096).optional() })

/** Throws BAD_REQUEST naming the field. */
export function parseContext(request: unknown): { language: string; cwd?: string } {
  return strictly(StrictContextRequest, request) as { language: string; cwd?: string }
}

/** Strict form of RunRequest of wire/door.ts. */
const StrictRunRequest = z.strictObject({
  code: z.string().max(MAX_CODE_CHARACTERS).refine(isWhole, HALF),
  contextId: z.string().max(64).optional(),
  language: z.string().max(64).optional(),
  env: Environment.optional(),
  timeoutMs: z.int().min(1).max(MAX_DAYS_MS).optional(),
  program: z.strictObject({ path: Text.min(1).max(4096), args: z.array(Text).max(65_536) }).optional(),
  streamed: z.boolean().optional(),
})

/** Throws BAD_REQUEST naming the field. */
export function parseRun(request: unknown): RunRequest {
  return strictly(StrictRunRequest, request) as RunRequest
}

/** Throws BAD_REQUEST naming the field. */
export function parseRequest(request: unknown): StrictCreateRequest {
  return strictly(StrictCreateRequest, request)
}

function strictly<T>(schema: z.ZodType<T>, request: unknown): T {
  const parsed = schema.safeParse(request)
  if (!parsed.success) throw new Fault('BAD_REQUEST', firstIssue(parsed.error), { cause: parsed.error })
  return parsed.data
}

/** The first error, with the field's name; an unknown field is named as well. */
export function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0]
  if (issue === undefined) return error.message
  const field = issue.path.join('.')
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => notKnown(field === '' ? key : `${field}.${key}`)).join(', ')
  }
  return field === '' ? issue.message : `${field}: ${issue.message}`
}
