import { z } from 'zod'
import { WALLS } from './walls.ts'

/**
 * Every decision about one sandbox, made before anything is built. The plan is pure data: the keeper receives exactly this (as one line of JSON) and decides
 * nothing itself; `caisson run --dry-run` prints exactly this. native/keeper/src/plan.rs reads the same shape and, like this schema, refuses unknown fields.
 */

const HostPath = z.string().startsWith('/').max(4096)
const InsidePath = z
  .string()
  .startsWith('/')
  .max(4096)
  .refine((path) => !path.split('/').includes('..') && !path.includes('\0'), 'must not contain .. or NUL')

const Inode = z.string().regex(/^\d{1,20}:\d{1,20}$/, 'must be device:inode')

/** A restriction on one path within a bind. Nobody inside can remove it or rename a folder on the way to it. */
export const Shield = z.strictObject({
  /** Relative to the bind; no component is a symlink. */
  path: z
    .string()
    .min(1)
    .max(4096)
    .refine(
      (path) => !path.includes('\0') && path.split('/').every((part) => !['', '.', '..'].includes(part)),
      'must be a plain relative path',
    ),
  /** `device:inode` of what the planner found there. If it has changed by then, nothing is built. */
  inode: Inode,
  /** `pinned`: it cannot be moved. `fixed`: also, nothing in it can be changed. `covered`: `content` replaces it; a folder appears empty. */
  as: z.enum(['pinned', 'fixed', 'covered']),
  content: z.string().max(65536).optional(),
})

/** A host path that the sandbox sees. Anything not listed does not exist inside. Always nosuid and nodev. */
export const Bind = z.strictObject({
  source: HostPath,
  target: InsidePath,
  mode: z.enum(['ro', 'rw']),
  /** Files of the source's owner appear as this user's inside (an idmapped mount; root only). Absent: owned by nobody. */
  ownedBy: z.enum(['root', 'user']).optional(),
  /** Its set-uid programs work, but only for users of the sandbox (an idmapped mount; root only; needs ownedBy root and no noNewPrivileges). */
  setuid: z.boolean().optional(),
  /** The host may change it while the sandbox runs, so what is read from it is not cached. */
  live: z.boolean().optional(),
  /** Of the source, as the planner saw it. If it has changed, it is not mounted. */
  inode: Inode.optional(),
  /** Parents before children. */
  shields: z.array(Shield).max(1024).optional(),
})

/** A folder on the sandbox's own disk. */
export const Writable = z.strictObject({
  target: InsidePath,
  owner: z.enum(['root', 'user']),
  /** Permission bits, sticky included. */
  mode: z.int().min(0).max(0o7777),
})

/** Where the writable folders live. The file system itself limits bytes and inodes. */
export const Disk = z.discriminatedUnion('kind', [
  /** A sparse copy of a formatted image on a loop device: real disk space; needs root on the host. */
  z.strictObject({
    kind: z.literal('image'),
    image: HostPath,
    /** Use `image` itself rather than a copy: it is moved into the state folder, and back if the sandbox fails to start. */
    take: z.boolean(),
    /** The image that was taken returns to its place however the sandbox ends. Absent: it is deleted with the sandbox. */
    returns: z.boolean().optional(),
    bytes: z.int().positive(),
    inodes: z.int().positive(),
  }),
  /** In memory, and charged to the memory limit: the only kind available without root. */
  z.strictObject({ kind: z.literal('tmpfs'), bytes: z.int().positive(), inodes: z.int().positive() }),
])

/** The root file system beneath the writable folders. */
export const Root = z.discriminatedUnion('kind', [
  /** Made of bind mounts; nothing in it can be changed. */
  z.strictObject({ kind: z.literal('read-only') }),
  /**
   * Root inside can change all of it; the changes lie on the sandbox's disk, in an overlay (native/keeper/src/overlay.rs). Needs a disk of kind image, hence
   * root on the host, and Linux 5.19.
   */
  z.strictObject({
    kind: z.literal('overlay'),
    /** The template's own layer above `usr` (templates/ground.py): what it hides of `usr`, and, in `.caisson`, the rest of the root. */
    ground: HostPath,
    /** Appears at /usr; files of host root belong to root inside. */
    usr: HostPath,
  }),
])

/** Null: explicitly unlimited by the request. If a limit cannot be enforced, the keeper fails (LIMIT_UNAVAILABLE). */
export const Limits = z.strictObject({
  /** Wall-clock lifetime of the sandbox, counted from `ready`. */
  wallMs: z.int().positive().nullable(),
  /** What happens at that time: the sandbox ends, or it freezes until somebody thaws it. */
  onWall: z.enum(['end', 'freeze']),
  /** Total memory: processes, page tables, tmpfs. */
  memoryBytes: z.int().positive().nullable(),
  /** Thousandths of a CPU. */
  cpuMilli: z.int().positive().nullable(),
  pids: z.int().positive().nullable(),
  /** Per process. */
  openFiles: z.int().positive(),
  /** Bytes of stdout and stderr of one command or run, counted by the host. */
  outputBytes: z.int().positive().nullable(),
  /** What happens when memory, pids, disk or output hits its limit: the sandbox ends, or only the one process, which is reported. */
  onHit: z.enum(['end', 'report']),
})

/** A host program that forms the wall, as it was found and tested. */
export const Engine = z.strictObject({
  program: HostPath,
  /** As the program reports it. */
  version: z.string().max(128),
  /** How it intercepts system calls or runs the guest's processor: the platform that worked when it was tested here. */
  platform: z.enum(['systrap', 'ptrace', 'kvm', 'tcg']),
  /** Host library preloaded into programs inside to work around what its kernel refuses; null: no such refusal is known. */
  preload: HostPath.nullable(),
  /** It reports the processes that run behind it, from before the first one (gVisor's trace points); tested. Absent in older plans. */
  traces: z.boolean().default(false),
  /**
   * State in a host folder: written when the keeper is asked to `save`, or started from. When started from, `pid` is that of a warm Python inside, if any, and
   * `mother` is the state folder of a machine of kind zygote that was restored from the same state and forks itself (native/twins). `wake`: resume the same
   * sandbox that was put to `sleep` there. Null: a cold start.
   */
  warm: z
    .discriminatedUnion('op', [
      z.strictObject({ op: z.literal('save'), folder: HostPath }),
      z.strictObject({ op: z.literal('restore'), folder: HostPath, pid: z.int().positive().nullable(), mother: HostPath.optional() }),
      z.strictObject({ op: z.literal('wake'), folder: HostPath }),
    ])
    .nullable(),
})
export type Engine = z.infer<typeof Engine>

/** The files that make up a virtual machine: on the host, all read-only. */
export const Machine = z.strictObject({
  /** The virtual machine monitor. Absent in plans from before there was a choice. */
  vmm: z.enum(['qemu', 'firecracker']).default('qemu'),
  kernel: HostPath,
  initrd: HostPath,
  /** Disk images: /usr, and what else the template shows. */
  usr: HostPath,
  shown: HostPath,
  /** For the guest's kernel and its processes together. */
  memoryBytes: z.int().positive(),
  cpus: z.int().min(1).max(64),
  /** Library that an older QEMU needs to map memory that it may not write; null: not needed. */
  reader: HostPath.nullable(),
  /** For kind zygote: the library by which its QEMU forks itself. */
  twins: HostPath.optional(),
})
export type Machine = z.infer<typeof Machine>

export const Plan = z.strictObject({
  version: z.literal(1),
  id: z.string().regex(/^[a-z0-9]{1,32}$/),
  /** A zygote is a sandbox that forks warmed processes into other sandboxes (see native/zygote). */
  kind: z.enum(['sandbox', 'zygote']),
  wall: z.enum(WALLS),
  /** Who asked for this wall and, where a better one was wanted, why that is unavailable. Absent in plans from before there were preferences. */
  wallReason: z.string().max(2048).optional(),
  /** What builds the wall; null where the host kernel itself does (container). */
  engine: Engine.nullable(),
  /** Absent: this wall uses no virtual machine. */
  machine: Machine.optional(),
  template: z.string(),
  profile: z.string(),
  /** `host`: the keeper ends the sandbox when its standard input closes. `none`: the sandbox outlives the process that started it. */
  leash: z.enum(['host', 'none']),
  /** Host files of this sandbox alone. `dir` exists with mode 0700; the keeper creates agent.sock and keeper.sock in it and removes all of it at the end. */
  dir: HostPath,
  /** Where the death record is written. */
  deathRecord: HostPath,
  agent: HostPath,
  binds: z.array(Bind).max(256),
  /** In an overlay, an existing file at this path is left alone. */
  symlinks: z.array(z.strictObject({ path: InsidePath, to: z.string().min(1).max(4096) })).max(64),
  root: Root,
  /**
   * Small files of this sandbox alone, on its read-only root or over a bind: host name, machine id, hosts. In an overlay they lie directly in /etc as ordinary
   * files of root.
   */
  files: z
    .array(
      z.strictObject({
        path: InsidePath,
        content: z.string().max(65536),
        mode: z.int().min(0).max(0o777),
        /** The suffix of generated lines. In an overlay on a kept disk, only lines with it are replaced. */
        mark: z.string().min(1).max(64).optional(),
      }),
    )
    .max(64),
  writable: z.array(Writable).max(16),
  disk: Disk,
  hostName: z.string().regex(/^[a-z0-9-]{1,63}$/),
  /** The ordinary user inside. Root is 0 where there is a range of ids. */
  user: z.strictObject({ name: z.string(), uid: z.int().min(1).max(65533), gid: z.int().min(1).max(65533), home: InsidePath }),
  /** Working directory of commands that name none; absent: their user's home. */
  cwd: InsidePath.optional(),
  network: z.discriminatedUnion('mode', [
    /** Only the loopback device `lo`. */
    z.strictObject({ mode: z.literal('none') }),
    /** The keeper's gate intercepts all outgoing traffic and asks the host (wire/airlock.ts). */
    z.strictObject({
      mode: z.literal('gate'),
      /** The socket on which the gate asks. */
      airlock: HostPath,
      /** The socket for connections that the host inspects, or refuses with a readable answer. */
      inspect: HostPath,
      maxConnections: z.int().min(1).max(4096),
      /** Both directions together; null: unlimited. */
      bytesPerSecond: z.int().positive().nullable(),
      idleMs: z.int().positive(),
      /** The airlock's initial policy, with presets expanded (policy/network.ts). For people; the keeper ignores it. */
      policy: z.record(z.string(), z.unknown()),
    }),
  ]),
  limits: Limits,
  /** Linux capabilities that root inside may hold, valid only in the sandbox's own user namespace: "CHOWN", "KILL", ... */
  capabilities: z.array(z.string().regex(/^[A-Z_]+$/)),
  /** False lets set-uid programs among the sandbox's own files work (sudo). */
  noNewPrivileges: z.boolean(),
  seccomp: z.strictObject({ profile: z.literal('default'), allowUserNamespaces: z.boolean() }),
  audit: z.strictObject({
    /** JSON lines; each is appended with a single write. */
    log: HostPath,
    /** Record the execve of every process inside, by seccomp user notification. */
    commands: z.boolean(),
    /** Once the records of one sandbox reach this many bytes, further commands are refused. */
    maxBytes: z.int().positive(),
  }),
  /** Present: the sandbox lives inside this zygote's user namespace and has this many processes forked from it at the start. */
  zygote: z.strictObject({ socket: HostPath, forks: z.int().min(0).max(16) }).nullable(),
  /** For kind zygote: the command of the forking process, run once the wall stands. It gets the listening socket as descriptor 3. */
  serve: z
    .strictObject({
      socket: HostPath,
      argv: z.array(z.string()).min(1),
      env: z.record(z.string(), z.string()),
      /** The zygote ends itself after this long without a request. */
      idleMs: z.int().positive(),
    })
    .nullable(),
  /** Loopback port on which the agent answers health checks, as E2B's code interpreter does; absent: none. */
  healthPort: z.int().min(1).max(65535).optional(),
})

export type Plan = z.infer<typeof Plan>
export type Limits = z.infer<typeof Limits>
export type Bind = z.infer<typeof Bind>
export type Shield = z.infer<typeof Shield>
