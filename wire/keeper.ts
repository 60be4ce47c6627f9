import { z } from 'zod'

/**
 * What host and keeper say to each other: JSON lines. The keeper's standard input is the first connection (its first line is the plan),
 * standard output the first stream of events; later ones connect to `keeper.sock`. Requests on any connection look alike.
 */

/** Why a sandbox is no more. `pause`: its processes are gone, and its disk was kept to boot from again. */
export const EndReason = z.enum(['exit', 'kill', 'timeout', 'memory', 'pids', 'disk', 'output', 'abandoned', 'crash', 'pause'])
export type EndReason = z.infer<typeof EndReason>

export const KeeperRequest = z.discriminatedUnion('op', [
  /** End it now. `reason` is recorded. With `keepDisk`, a disk of kind image is moved to that path of the host when nothing writes to it any more. */
  z.strictObject({
    seq: z.int(),
    op: z.literal('kill'),
    reason: EndReason,
    detail: z.string().max(4096),
    keepDisk: z.string().startsWith('/').optional(),
  }),
  /** For whoever comes later: answer `{ready, frozen, wallLeftMs, pid}`, the event `ready` as it was told, and how it stands now. */
  z.strictObject({ seq: z.int(), op: z.literal('hello') }),
  /** A sandbox that was made in advance gets its life: from now on it is held so, and ends (or freezes) after `wallMs`. */
  z.strictObject({
    seq: z.int(),
    op: z.literal('assign'),
    leash: z.enum(['host', 'none']),
    wallMs: z.int().positive().nullable(),
    onWall: z.enum(['end', 'freeze']),
  }),
  /** No process of it runs until `thaw`, and its disk is whole on the host's. The wall clock stands still. Answers once that is so. Twice is no error. */
  z.strictObject({ seq: z.int(), op: z.literal('freeze') }),
  /** It goes on, with a new wall-clock limit from now. Twice is no error. */
  z.strictObject({ seq: z.int(), op: z.literal('thaw'), wallMs: z.int().positive().nullable() }),
  /** A copy of its disk as it is at one moment, as a new sparse file of the host; it is frozen meanwhile, and stays as it was. */
  z.strictObject({ seq: z.int(), op: z.literal('copyDisk'), to: z.string().startsWith('/') }),
  /** Have `count` processes forked from the zygote; answer `{pids: number[]}`, ids inside, each to be attached to through the agent. */
  z.strictObject({ seq: z.int(), op: z.literal('fork'), socket: z.string(), count: z.int().min(1).max(16) }),
  /** Replace the wall-clock limit, counted from now; null removes it. */
  z.strictObject({ seq: z.int(), op: z.literal('deadline'), wallMs: z.int().positive().nullable() }),
  /** Write its state to the folder that its plan names (`engine.warm`). It ends with that. */
  z.strictObject({ seq: z.int(), op: z.literal('save') }),
  /** Of a machine of kind zygote: it stands still from now on, and others are forked from it (`engine.warm.mother`). */
  z.strictObject({ seq: z.int(), op: z.literal('serve') }),
  /**
   * Write its memory to an empty folder of the host, and end (reason `pause`) with its disk kept at that path: both of one moment. If it cannot be, it goes on.
   * Nobody from the host may be connected to its agent.
   */
  z.strictObject({
    seq: z.int(),
    op: z.literal('sleep'),
    folder: z.string().startsWith('/'),
    keepDisk: z.string().startsWith('/'),
  }),
  /**
   * Write its memory and its disk to an empty folder of the host, both of one moment, for others that go on from them (`engine.warm`). It stands still meanwhile,
   * and goes on. `lasts`: with sums, and safe on the host's disk. Nobody from the host may be connected to its agent.
   */
  z.strictObject({ seq: z.int(), op: z.literal('snapshot'), folder: z.string().startsWith('/'), lasts: z.boolean() }),
  /** Answer `{peakMemoryBytes, cacheBytes, cpuUs, nowMs}`; null: there is no cgroup that counts it. */
  z.strictObject({ seq: z.int(), op: z.literal('stats') }),
])
export type KeeperRequest = z.infer<typeof KeeperRequest>

/** Read once when a sandbox has ended, from `deathRecord` or the event. Times are milliseconds since 1970. */
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
  /** PID 1 of the sandbox, as the host numbers it. */
  agentPid: z.int(),
  /** First host uid of the sandbox's range; null when it has a single id. */
  uidBase: z.int().nullable(),
  /** Processes forked from the zygote, ids inside. */
  forked: z.array(z.int()),
  /** Microseconds spent in each step of native/keeper/src/order.rs. */
  steps: z.array(z.tuple([z.string(), z.number()])),
})

/** Answer to `hello`. `wallLeftMs`: of the wall-clock limit; of one that stands still, what will be left of it. `pid`: by which it is killed; absent: of a version that did not say. */
export const KeeperHello = z.strictObject({
  ready: Ready,
  frozen: z.boolean(),
  wallLeftMs: z.number().nullable(),
  pid: z.int().positive().optional(),
})

export const KeeperEvent = z.discriminatedUnion('event', [
  /** The first word of one that came from a stock: its number on the host, by which it is killed if it says nothing else. */
  z.strictObject({ event: z.literal('taken'), pid: z.int().positive() }),
  /** What is written to the agent's socket from now on waits there until it has started. Before `ready`, where it can be said at all. */
  z.strictObject({ event: z.literal('listening') }),
  Ready,
  z.strictObject({
    event: z.literal('failed'),
    code: z.enum(['PLAN_INVALID', 'LAUNCH_FAILED', 'LIMIT_UNAVAILABLE', 'WALL_UNAVAILABLE', 'MOUNT_UNREADABLE']),
    /** Name of the step in order.rs. */
    step: z.string(),
    message: z.string(),
    hint: z.string(),
  }),
  /** The wall-clock limit has passed, and the plan says that it freezes then. */
  z.strictObject({ event: z.literal('frozen') }),
  /** A limit was hit. With onHit `report` the sandbox lives on, with `end` its death follows. */
  z.strictObject({ event: z.literal('limit'), reason: EndReason, detail: z.string() }),
  z.strictObject({ event: z.literal('death'), death: Death }),
  z.strictObject({
    event: z.literal('answer'),
    seq: z.int(),
    ok: z.record(z.string(), z.unknown()).optional(),
    error: z.string().optional(),
  }),
])
export type KeeperEvent = z.infer<typeof KeeperEvent>
