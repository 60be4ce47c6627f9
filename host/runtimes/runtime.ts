import type { ExactJson, ProcessExit, Rich, RunError } from '@caisson/wire'
import { z } from 'zod'

/**
 * A language with state. Its program runs inside the wall, one process per context, as an ordinary process of the agent; the host speaks
 * JSON lines with it over the control channel (descriptor 3). What the program prints goes through stdout and stderr: the agent forwards all that
 * was written before a control line ahead of that line, so order is kept.
 */
export interface Runtime {
  readonly name: string
  /** Other words for it: extensions with a dot, shebang programs, aliases. */
  readonly aliases: readonly string[]
  /** A template that has a zygote forks this runtime from it; else `start` is executed by the agent. */
  readonly zygote: boolean
  /** What somebody can do about it where a template has not got it. */
  readonly mend: string
  /** Program and arguments inside; the programs folder is bound at /caisson/runtimes. */
  readonly start: { command: string; args: readonly string[]; env: Readonly<Record<string, string>> }
  /** What `start` is told besides, to have imported what is usual before anybody asks it anything. */
  readonly warm?: { readonly usual: readonly string[]; readonly large: readonly string[] }
  /**
   * For a program that cannot always survive SIGINT: how long it has for hearing `interrupt` itself before the signal follows. Programs of users
   * get the signal at once.
   */
  readonly signalAfterMs?: number
  /** It takes `renew`. */
  readonly renews?: boolean
  /** How its program reads requests. Absent: as JSON lines. Throws BAD_REQUEST for one that cannot be said so. */
  encode?(request: RuntimeRequest): Uint8Array
}

/**
 * Host to program. One run at a time; SIGINT interrupts it. The signal may come before the program has begun the run, and then means nothing to
 * it: so `interrupt` goes ahead of it, for the program to find when it begins.
 */
export type RuntimeRequest =
  | { op: 'init'; cwd: string; env: Record<string, string>; seed: string }
  | { op: 'run'; id: number; code: string; env: Record<string, string>; program?: { path: string; args: string[] } }
  | { op: 'interrupt'; id: number }
  /** Not answered. Before `init`, that need not do it. */
  | { op: 'renew'; seed: string }

/**
 * Before `init`, and after runs that nobody asked for, if any, to a program that waits for somebody: it walks the paths of `init` and of a first run, leaves no trace of that but the variables, renews its
 * chance, and answers `ready`. `env`: as far as it is known who will want it. `seed`: as of `renew`; empty: others are restored from it.
 */
export interface RehearsalRequest {
  op: 'rehearse'
  cwd: string
  env: Record<string, string>
  seed: string
}

/** Program to host. It comes from inside the wall: bounded, parsed strictly, never trusted. */
export const RuntimeMessage = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('ready') }),
  /** It cannot do its work here, and ends. */
  z.strictObject({ type: z.literal('failed'), code: z.enum(['LANGUAGE_UNAVAILABLE', 'FILE_MISSING']), message: z.string().max(4096) }),
  /** `exact`: the members of it that are JSON, as text of one line. */
  z.strictObject({
    type: z.literal('result'),
    id: z.int(),
    result: z.custom<Rich>((value) => Rich_.safeParse(value).success),
    exact: z.custom<ExactJson>((value) => Exact_.safeParse(value).success).optional(),
  }),
  z.strictObject({ type: z.literal('error'), id: z.int(), error: z.custom<RunError>((value) => RunError_.safeParse(value).success) }),
  z.strictObject({
    type: z.literal('end'),
    id: z.int(),
    executionCount: z.int(),
    exitCode: z.int().optional(),
    limit: z.literal('disk').optional(),
  }),
])
export type RuntimeMessage = z.infer<typeof RuntimeMessage>

const RunError_ = z.strictObject({ name: z.string(), value: z.string(), traceback: z.string() })
const Rich_ = z.strictObject({
  text: z.string().optional(),
  html: z.string().optional(),
  markdown: z.string().optional(),
  svg: z.string().optional(),
  png: z.string().optional(),
  jpeg: z.string().optional(),
  pdf: z.string().optional(),
  latex: z.string().optional(),
  javascript: z.string().optional(),
  isMainResult: z.boolean(),
})
const OneLine = z.string().regex(/^[^\n\r]+$/)
const Exact_ = z.strictObject({
  json: OneLine.optional(),
  data: OneLine.optional(),
  chart: OneLine.optional(),
  extra: OneLine.optional(),
})

/** What the members that are JSON have to be. */
export const EXACT: { [form in keyof ExactJson]-?: z.ZodType } = {
  json: z.unknown(),
  data: z.record(z.string(), z.array(z.unknown())),
  chart: z.record(z.string(), z.unknown()),
  extra: z.record(z.string(), z.unknown()),
}

/** A live runtime process, as the agent shows it. The agent connection provides it; contexts use it. */
export interface RuntimeProcess {
  readonly pid: number
  /** Everything the process says, in order; ends when it has ended. */
  readonly output: AsyncIterable<{ channel: 'stdout' | 'stderr' | 'control'; bytes: Uint8Array; atMs: number }>
  sendControl(bytes: Uint8Array, signal: AbortSignal): Promise<void>
  signal(number: number, signal: AbortSignal): Promise<void>
  readonly exit: Promise<ProcessExit>
}
