import type { ExactJson, ProcessExit, Rich, RunError } from '@caisson/wire'
import { z } from 'zod'

/**
 * A stateful language. Its program runs inside the wall, one process per context, as an ordinary process of the agent. The host exchanges JSON lines with it
 * over the control channel (descriptor 3). What it prints goes through stdout and stderr; the agent forwards everything that was written before a control line
 * ahead of that line, which preserves the order.
 */
export interface Runtime {
  readonly name: string
  /** Other names: extensions with a dot, shebang programs, aliases. */
  readonly aliases: readonly string[]
  /** If the template has a zygote, this runtime is forked from it; otherwise the agent executes `start`. */
  readonly zygote: boolean
  /** What to do where a template lacks it. */
  readonly mend: string
  /** Program and arguments inside; the programs folder is bound at /caisson/runtimes. */
  readonly start: { command: string; args: readonly string[]; env: Readonly<Record<string, string>> }
  /** Extra arguments of `start` that make it import the usual libraries in advance. */
  readonly warm?: { readonly usual: readonly string[]; readonly large: readonly string[] }
  /**
   * For a program that does not always survive SIGINT: how long it may take to handle `interrupt` itself before the signal follows. User programs get the
   * signal at once.
   */
  readonly signalAfterMs?: number
  /** It supports `renew`. */
  readonly renews?: boolean
  /** Encodes requests for its program. Absent: JSON lines. Throws BAD_REQUEST for a request that cannot be encoded. */
  encode?(request: RuntimeRequest): Uint8Array
}

/**
 * Host to program. One run at a time; SIGINT interrupts it. The signal may arrive before the program has begun the run, and would then be lost. So `interrupt`
 * is sent first, and the program finds it when it begins.
 */
export type RuntimeRequest =
  | { op: 'init'; cwd: string; env: Record<string, string>; seed: string }
  | { op: 'run'; id: number; code: string; env: Record<string, string>; program?: { path: string; args: string[] } }
  | { op: 'interrupt'; id: number }
  /** Reseeds. Not answered. Unnecessary before `init`, which reseeds as well. */
  | { op: 'renew'; seed: string }

/**
 * To a program without an owner, before `init` and after any warm-up runs: it executes the code paths of `init` and of a first run, removes all traces but the
 * environment, reseeds, and answers `ready`. `env`: the expected environment. `seed`: as in `renew`; empty: others will be restored from it.
 */
export interface RehearsalRequest {
  op: 'rehearse'
  cwd: string
  env: Record<string, string>
  seed: string
}

/** Program to host. It comes from inside the wall: bounded, strictly parsed, never trusted. */
export const RuntimeMessage = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('ready') }),
  /** It cannot work here, and ends. */
  z.strictObject({ type: z.literal('failed'), code: z.enum(['LANGUAGE_UNAVAILABLE', 'FILE_MISSING']), message: z.string().max(4096) }),
  /** `exact`: its JSON members, each as text of one line. */
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

/** Types of the JSON members. */
export const EXACT: { [form in keyof ExactJson]-?: z.ZodType } = {
  json: z.unknown(),
  data: z.record(z.string(), z.array(z.unknown())),
  chart: z.record(z.string(), z.unknown()),
  extra: z.record(z.string(), z.unknown()),
}

/** A live runtime process. The agent connection provides it; contexts use it. */
export interface RuntimeProcess {
  readonly pid: number
  /** All output in order; ends with the process. */
  readonly output: AsyncIterable<{ channel: 'stdout' | 'stderr' | 'control'; bytes: Uint8Array; atMs: number }>
  sendControl(bytes: Uint8Array, signal: AbortSignal): Promise<void>
  signal(number: number, signal: AbortSignal): Promise<void>
  readonly exit: Promise<ProcessExit>
}
