import { z } from 'zod'

/**
 * The protocol between the host and a keeper (the process that builds one sandbox and supervises it): JSON lines. The keeper's standard input is the first
 * connection (its first line is the plan) and its standard output the first event stream; later clients connect to `keeper.sock`. Requests look the same on
 * every connection.
 */

/** Why a sandbox ended. `pause`: its processes are gone, but its disk was kept so that it can boot from it again. */
export const EndReason = z.enum(['exit', 'kill', 'timeout', 'memory', 'pids', 'disk', 'output', 'abandoned', 'crash', 'pause'])
export type EndReason = z.infer<typeof EndReason>

export const KeeperRequest = z.discriminatedUnion('op', [
  /** End the sandbox now and record `reason`. With `keepDisk`, a disk of kind image is moved to that host path once nothing writes to it any more. */
  z.strictObject({
    seq: z.int(),
    op: z.literal('kill'),
    reason: EndReason,
    detail: z.string().max(4096),
    keepDisk: z.string().startsWith('/').optional(),
  }),
  /** For a client that connects later. The answer is `{ready, frozen, wallLeftMs, pid}`: the `ready` event as first sent, and the current state. */
  z.strictObject({ seq: z.int(), op: z.literal('hello') }),
  /** Assign a sandbox that was prepared in advance. Its leash applies from now on, and it ends (or freezes) after `wallMs`. */
  z.strictObject({
    seq: z.int(),
    op: z.literal('assign'),
    leash: z.enum(['host', 'none']),
    wallMs: z.int().positive().nullable(),
    onWall: z.enum(['end', 'freeze']),
  }),
  /** Stop all its processes until `thaw`, and flush its disk to the host's. The wall clock stops. Answers when that is done. Idempotent. */
  z.strictObject({ seq: z.int(), op: z.literal('freeze') }),
  /** Resume it, with a new wall-clock limit counted from now. Idempotent. */
  z.strictObject({ seq: z.int(), op: z.literal('thaw'), wallMs: z.int().positive().nullable() }),
  /** Copy its disk, as of one moment, to a new sparse file on the host. The sandbox is frozen during the copy and then returns to its previous state. */
  z.strictObject({ seq: z.int(), op: z.literal('copyDisk'), to: z.string().startsWith('/') }),
  /** Fork `count` processes from the zygote. The answer is `{pids: number[]}`, pids inside; attach to each through the agent. */
  z.strictObject({ seq: z.int(), op: z.literal('fork'), socket: z.string(), count: z.int().min(1).max(16) }),
  /** Replace the wall-clock limit, counted from now; null removes it. */
  z.strictObject({ seq: z.int(), op: z.literal('deadline'), wallMs: z.int().positive().nullable() }),
  /** Save its state to the folder named in the plan (`engine.warm`). That ends the sandbox. */
  z.strictObject({ seq: z.int(), op: z.literal('save') }),
  /** For a machine of kind zygote: stop it for good and fork others from it (`engine.warm.mother`). */
  z.strictObject({ seq: z.int(), op: z.literal('serve') }),
  /**
   * Save its memory to an empty host folder and end it (reason `pause`), keeping its disk at that path. Memory and disk are of the same moment. On failure it
   * continues. The host must have no connection to its agent.
   */
  z.strictObject({
    seq: z.int(),
    op: z.literal('sleep'),
    folder: z.string().startsWith('/'),
    keepDisk: z.string().startsWith('/'),
  }),
  /**
   * Save memory and disk, as of the same moment, to an empty host folder from which other sandboxes can start (`engine.warm`). The sandbox stops meanwhile and
   * then continues. `lasts`: with checksums, and synced to the host's disk. The host must have no connection to its agent.
   */
  z.strictObject({ seq: z.int(), op: z.literal('snapshot'), folder: z.string().startsWith('/'), lasts: z.boolean() }),
  /** The answer is `{peakMemoryBytes, cacheBytes, cpuUs, nowMs}`; null where no cgroup measures it. */
  z.strictObject({ seq: z.int(), op: z.literal('stats') }),
])
export type KeeperRequest = z.infer<typeof KeeperRequest>

/** The death record, read once after a sandbox has ended, from `deathRecord` or from the event. Times are milliseconds since 1970. */
export const Death = z.strictObject({
  id: z.string(),
  reason: EndReason,
  detail: z.string(),
  startedMs: z.number(),
  endedMs: z.number(),
  peakMemoryBytes: z.number().nullable(),
  cpuUs: z.number().nullable(),
})
export type Death = z.infer<typeof Death>

const Ready = z.strictObject({
  event: z.literal('ready'),
  /** PID 1 of the sandbox, in the host's numbering. */
  agentPid: z.int(),
  /** First host uid of the sandbox's range; null if it has only one id. */
  uidBase: z.int().nullable(),
  /** Processes forked from the zygote, pids inside. */
  forked: z.array(z.int()),
  /** Microseconds that each step of native/keeper/src/order.rs took. */
  steps: z.array(z.tuple([z.string(), z.number()])),
})

/**
 * The answer to `hello`. `wallLeftMs`: what is left of the wall-clock limit; for a frozen sandbox, what will be left of it. `pid`: the process to kill; absent
 * in older keepers.
 */
export const KeeperHello = z.strictObject({
  ready: Ready,
  frozen: z.boolean(),
  wallLeftMs: z.number().nullable(),
  pid: z.int().positive().optional(),
})

const KeeperCode = z.enum(['PLAN_INVALID', 'LAUNCH_FAILED', 'LIMIT_UNAVAILABLE', 'WALL_UNAVAILABLE', 'MOUNT_UNREADABLE'])

export const KeeperEvent = z.discriminatedUnion('event', [
  /** The first message of a keeper taken from the stock: its host pid, so that it can be killed even if it says nothing else. */
  z.strictObject({ event: z.literal('taken'), pid: z.int().positive() }),
  /** Data written to the agent's socket is queued from now on until the agent has started. Comes before `ready`, from walls that can tell. */
  z.strictObject({ event: z.literal('listening') }),
  Ready,
  z.strictObject({
    event: z.literal('failed'),
    code: KeeperCode,
    /** Name of the step in order.rs. */
    step: z.string(),
    message: z.string(),
    hint: z.string(),
  }),
  /** The wall-clock limit has passed, and the plan says to freeze then. */
  z.strictObject({ event: z.literal('frozen') }),
  /** A limit was hit. With onHit `report` the sandbox lives on; with `end` its death follows. */
  z.strictObject({ event: z.literal('limit'), reason: EndReason, detail: z.string() }),
  z.strictObject({ event: z.literal('death'), death: Death }),
  z.strictObject({
    event: z.literal('answer'),
    seq: z.int(),
    ok: z.record(z.string(), z.unknown()).optional(),
    error: z.string().optional(),
    /** Of the error. Keepers of earlier versions do not send them. */
    code: KeeperCode.optional(),
    hint: z.string().optional(),
  }),
])
export type KeeperEvent = z.infer<typeof KeeperEvent>
