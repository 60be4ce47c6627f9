import { z } from 'zod'
import { WALLS } from './walls.ts'

/**
 * Everything decided about one sandbox before anything is built. Pure data: the keeper gets exactly this (one line of JSON) and decides
 * nothing itself; `caisson run --dry-run` prints exactly this. native/keeper/src/plan.rs reads the same shape and refuses unknown
 * fields, as this schema does.
 */

const HostPath = z.string().startsWith('/').max(4096)
const InsidePath = z
  .string()
  .startsWith('/')
  .max(4096)
  .refine((path) => !path.split('/').includes('..') && !path.includes('\0'), 'must not contain .. or NUL')

const Inode = z.string().regex(/^\d{1,20}:\d{1,20}$/, 'must be device:inode')

/** What is different about one place of a bind. Nobody inside can take it away, and no folder on the way to it can be renamed. */
export const Shield = z.strictObject({
  /** Below the bind; no part of it is a link. */
  path: z
    .string()
    .min(1)
    .max(4096)
    .refine(
      (path) => !path.includes('\0') && path.split('/').every((part) => !['', '.', '..'].includes(part)),
      'must be a plain relative path',
    ),
  /** Of what was found there, `device:inode`. If something else is there by then, nothing is built. */
  inode: Inode,
  /** `pinned`: it stays where it is. `fixed`: that, and nothing in it can be changed. `covered`: there is `content` in its place; a folder is empty. */
  as: z.enum(['pinned', 'fixed', 'covered']),
  content: z.string().max(65536).optional(),
})

/** A part of the host that the sandbox sees. Everything not named here does not exist inside. Always nosuid and nodev. */
export const Bind = z.strictObject({
  source: HostPath,
  target: InsidePath,
  mode: z.enum(['ro', 'rw']),
  /** Files of the source's owner appear as owned by this user inside (an idmapped mount; root only). Absent: owned by nobody. */
  ownedBy: z.enum(['root', 'user']).optional(),
  /** Set-uid programs of it work, for users of the sandbox only (an idmapped mount; root only; needs ownedBy root and no noNewPrivileges). */
  setuid: z.boolean().optional(),
  /** The host may change it while the sandbox lives: what is read there is not kept. */
  live: z.boolean().optional(),
  /** Of the source, as it was when it was looked at; something else is not mounted. */
  inode: Inode.optional(),
  /** Parents before children. */
  shields: z.array(Shield).max(1024).optional(),
})

/** A folder of the sandbox's own disk. */
export const Writable = z.strictObject({
  target: InsidePath,
  owner: z.enum(['root', 'user']),
  /** Permission bits, sticky included. */
  mode: z.int().min(0).max(0o7777),
})

/** Where the writable folders live, bounded in bytes and inodes by the file system itself. */
export const Disk = z.discriminatedUnion('kind', [
  /** A sparse copy of a formatted image on a loop device: real disk, needs root on the host. */
  z.strictObject({
    kind: z.literal('image'),
    image: HostPath,
    /** Start from `image` itself: it is moved into the state folder, and back if the sandbox does not come to stand. Else from a copy. */
    take: z.boolean(),
    /** However the sandbox ends, the image that was taken goes back to where it was. Absent: it goes with the sandbox. */
    returns: z.boolean().optional(),
    bytes: z.int().positive(),
    inodes: z.int().positive(),
  }),
  /** Memory, and charged to the memory limit: what there is without root. */
  z.strictObject({ kind: z.literal('tmpfs'), bytes: z.int().positive(), inodes: z.int().positive() }),
])

/** What lies under the writable folders. */
export const Root = z.discriminatedUnion('kind', [
  /** Made of binds; nothing of it can be changed. */
  z.strictObject({ kind: z.literal('read-only') }),
  /**
   * All of it can be changed by root of the sandbox, and what is changed lies on its disk: an overlay (native/keeper/src/overlay.rs). Needs a disk of
   * kind image, so root on the host, and Linux 5.19.
   */
  z.strictObject({
    kind: z.literal('overlay'),
    /** The template's own layer above `usr` (templates/ground.py): what of it is hidden, and the rest of the root, in `.caisson`. */
    ground: HostPath,
    /** Seen at /usr, with root's files root's. */
    usr: HostPath,
  }),
])

/** Null means: not limited, and the request said so. A limit that cannot be had is an error of the keeper (LIMIT_UNAVAILABLE). */
export const Limits = z.strictObject({
  /** Wall-clock life of the sandbox from ready. */
  wallMs: z.int().positive().nullable(),
  /** What happens then: the end, or a freeze until somebody thaws it. */
  onWall: z.enum(['end', 'freeze']),
  /** All of it: processes, page tables, tmpfs. */
  memoryBytes: z.int().positive().nullable(),
  /** Thousandths of a CPU. */
  cpuMilli: z.int().positive().nullable(),
  pids: z.int().positive().nullable(),
  /** Per process. */
  openFiles: z.int().positive(),
  /** Bytes of stdout and stderr of one command or run; counted by the host. */
  outputBytes: z.int().positive().nullable(),
  /** What a hit of memory, pids, disk or output means: the end of the sandbox, or of the one process, reported. */
  onHit: z.enum(['end', 'report']),
})

/** A program of the host that is the wall, as it was found and tried. */
export const Engine = z.strictObject({
  program: HostPath,
  /** As it says it. */
  version: z.string().max(128),
  /** How it catches the system calls of those inside, or runs their processor: what ran here when it was tried. */
  platform: z.enum(['systrap', 'ptrace', 'kvm', 'tcg']),
  /** Library of the host that is loaded into programs inside, to mend what its kernel refuses; null: it refuses nothing that we know of. */
  preload: HostPath.nullable(),
  /** It says what runs behind it, from before the first process on (gVisor's trace points); tried. Plans of before it was asked say nothing. */
  traces: z.boolean().default(false),
  /**
   * A state that it writes to a folder of the host when its keeper is asked to `save`, or that it starts from; there, `pid` is that of a warm Python inside,
   * where there is one, and `mother` the state folder of a machine of kind zygote that was restored from there too, and forks itself (native/twins). `wake`: the same sandbox goes on that was put to `sleep` there. Null: it starts from nothing.
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

/** What a machine is made of: files of the host, all read-only. */
export const Machine = z.strictObject({
  /** What runs it. Plans of before there was a choice say nothing. */
  vmm: z.enum(['qemu', 'firecracker']).default('qemu'),
  kernel: HostPath,
  initrd: HostPath,
  /** Images: /usr, and what the template shows besides. */
  usr: HostPath,
  shown: HostPath,
  /** Of its kernel and those inside together. */
  memoryBytes: z.int().positive(),
  cpus: z.int().min(1).max(64),
  /** Library that an older QEMU needs to map memory that it may not write; null: it can by itself. */
  reader: HostPath.nullable(),
  /** For kind zygote: library that its QEMU forks itself by. */
  twins: HostPath.optional(),
})
export type Machine = z.infer<typeof Machine>

export const Plan = z.strictObject({
  version: z.literal(1),
  id: z.string().regex(/^[a-z0-9]{1,32}$/),
  /** A zygote is a sandbox of its own that forks warmed processes into others (see native/zygote). */
  kind: z.enum(['sandbox', 'zygote']),
  wall: z.enum(WALLS),
  /** Who asked for it; where a better one was wanted, why that is not here. Plans of before there were preferences say nothing. */
  wallReason: z.string().max(2048).optional(),
  /** What builds the wall; null where it is the kernel itself (container). */
  engine: Engine.nullable(),
  /** Absent: behind this wall there is no machine. */
  machine: Machine.optional(),
  template: z.string(),
  profile: z.string(),
  /** `host`: the keeper ends the sandbox when its standard input closes. `none`: it outlives whoever started it. */
  leash: z.enum(['host', 'none']),
  /** Host files of this sandbox alone. `dir` exists, mode 0700; the keeper makes agent.sock and keeper.sock in it and removes it all at the end. */
  dir: HostPath,
  /** Where the death record goes. */
  deathRecord: HostPath,
  agent: HostPath,
  binds: z.array(Bind).max(256),
  /** Where an overlay has one already, that one stays. */
  symlinks: z.array(z.strictObject({ path: InsidePath, to: z.string().min(1).max(4096) })).max(64),
  root: Root,
  /**
   * Small files of this sandbox alone, on its read-only root, or over a bind: host name, machine id, hosts. In an overlay they lie directly in /etc, and
   * are ordinary files of root's.
   */
  files: z
    .array(
      z.strictObject({
        path: InsidePath,
        content: z.string().max(65536),
        mode: z.int().min(0).max(0o777),
        /** How its lines end. In an overlay on a disk that was kept, only those are replaced. */
        mark: z.string().min(1).max(64).optional(),
      }),
    )
    .max(64),
  writable: z.array(Writable).max(16),
  disk: Disk,
  hostName: z.string().regex(/^[a-z0-9-]{1,63}$/),
  /** The ordinary user inside; root is 0 where there is a range of ids. */
  user: z.strictObject({ name: z.string(), uid: z.int().min(1).max(65533), gid: z.int().min(1).max(65533), home: InsidePath }),
  /** Where commands begin that name no folder; absent: their user's home. */
  cwd: InsidePath.optional(),
  network: z.discriminatedUnion('mode', [
    /** `lo` and nothing else. */
    z.strictObject({ mode: z.literal('none') }),
    /** Everything that leaves is caught by the keeper's gate, which asks the host (wire/airlock.ts). */
    z.strictObject({
      mode: z.literal('gate'),
      /** Where the gate asks. */
      airlock: HostPath,
      /** Where connections go that the host looks into, or refuses in words. */
      inspect: HostPath,
      maxConnections: z.int().min(1).max(4096),
      /** Both ways together; null: as fast as it goes. */
      bytesPerSecond: z.int().positive().nullable(),
      idleMs: z.int().positive(),
      /** What the airlock was told of it at first, presets spelled out (policy/network.ts): for people; the keeper does not look. */
      policy: z.record(z.string(), z.unknown()),
    }),
  ]),
  limits: Limits,
  /** Linux capabilities that root inside may hold, over the sandbox's own user namespace only: "CHOWN", "KILL", ... */
  capabilities: z.array(z.string().regex(/^[A-Z_]+$/)),
  /** False lets set-uid programs of the sandbox's own files work (sudo). */
  noNewPrivileges: z.boolean(),
  seccomp: z.strictObject({ profile: z.literal('default'), allowUserNamespaces: z.boolean() }),
  audit: z.strictObject({
    /** JSON lines, appended with one write each. */
    log: HostPath,
    /** Record execve of every process inside, by seccomp user notification. */
    commands: z.boolean(),
    /** After this many bytes of records from one sandbox, further commands are refused. */
    maxBytes: z.int().positive(),
  }),
  /** Present: live inside this zygote's user namespace, and have this many processes forked from it at once. */
  zygote: z.strictObject({ socket: HostPath, forks: z.int().min(0).max(16) }).nullable(),
  /** For kind zygote: what to run as the forking process, after the wall stands. It gets the listening socket as descriptor 3. */
  serve: z
    .strictObject({
      socket: HostPath,
      argv: z.array(z.string()).min(1),
      env: z.record(z.string(), z.string()),
      /** Ends itself after this long without a request. */
      idleMs: z.int().positive(),
    })
    .nullable(),
  /** Where at the loopback the agent says that it is well, as E2B's code interpreter does; absent: nowhere. */
  healthPort: z.int().min(1).max(65535).optional(),
})

export type Plan = z.infer<typeof Plan>
export type Limits = z.infer<typeof Limits>
export type Bind = z.infer<typeof Bind>
export type Shield = z.infer<typeof Shield>
