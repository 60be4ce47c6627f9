import { type Bind, type Engine, Fault, type Machine, type NetworkFile, type Plan, type WallName } from '@caisson/wire'
import type { Template } from '../templates/template.ts'
import { planMachine, refuseLittleMemory, refuseMounts } from './machine.ts'
import type { Profile } from './profile.ts'
import type { StrictCreateRequest } from './request.ts'
import type { Look } from './shields.ts'
import { mounts } from './shown-mounts.ts'
import { type ShownTrust, trustBinds } from './trust.ts'

/** An existing disk to start from. A snapshot's is copied, one of the sandbox's own is taken, and a workspace's is taken and returns to its place. */
export interface Kept {
  readonly image: string
  readonly take: boolean
  readonly returns?: boolean
}

/** Facts about this machine and this moment. Callers look them up, so that planning is pure: the same input makes the same plan. */
export interface MachineFacts {
  /** Whether the host runs as root. Only then has each sandbox a range of ids, a disk of its own, and cgroups. */
  readonly root: boolean
  readonly home: string
  readonly agent: string
  readonly auditLog: string
  readonly id: string
  /** 32 hexadecimal digits, unique to this sandbox (machine-id(5)). */
  readonly machineId: string
  /** Socket of a live zygote of the template; null: interpreters start inside. */
  readonly zygoteSocket: string | null
  /** A disk with files to start from; null: an empty one. */
  readonly kept: Kept | null
  readonly onWall: Plan['limits']['onWall']
  /** Sockets of the airlock (wire/airlock.ts), which is this sandbox's only way out; null: no network. */
  readonly airlock: { readonly socket: string; readonly inspect: string; readonly policy: NetworkFile } | null
  readonly wall: {
    readonly name: WallName
    /** Why this wall was chosen: for people, in the plan and in the audit record. */
    readonly reason?: string
    /** The program that implements the wall; null: the host's kernel does. */
    readonly engine: Engine | null
    /** If the wall is a machine: the parts that all its machines share. */
    readonly machine?: Pick<Machine, 'vmm' | 'kernel' | 'initrd' | 'usr' | 'reader'>
    /** Whether set-uid programs work behind it. */
    readonly sudo: boolean
    /** Whether it can show folders of the host. */
    readonly mounts: boolean
  }
  /** `cwd`: default working directory of commands (null: the home folder). `looks`: what is hidden and fixed in each mount (empty: nothing). */
  readonly shown?: { readonly cwd: string | null; readonly looks: readonly Look[] }
  /** Certificate authorities to trust in addition; null: none. */
  readonly trust: ShownTrust | null
}

const MIB = 1024 * 1024
const USER = { name: 'user', uid: 1000, gid: 1000, home: '/home/user' }
/** Environment of the user's programs (environ(7)). The agent sets it for commands. */
export const ACCOUNT_VARIABLES = { HOME: USER.home, USER: USER.name, LOGNAME: USER.name, SHELL: '/bin/bash' }

/**
 * Capabilities of root inside, over the sandbox's own files and processes, so that a root shell and a package's post-install script work. It gets none over the
 * kernel, devices, raw sockets, other user namespaces, or the audit log.
 */
const ROOT_CAPABILITIES = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'NET_BIND_SERVICE']

/** Address of the gate's name server (native/keeper/src/gate/addresses.rs). */
const NAME_SERVER = '198.18.0.1'
const MAX_CONNECTIONS = 2048
/** Longer than the usual keep-alive of database connections and WebSockets. */
const IDLE_MS = 900_000

/** Programs detect E2B's sandboxes by this file. Small files of ours lie in /etc; the sandbox id is the host name. */
const E2B_FILE = { path: '/etc/e2b-sandbox', content: 'true\n', mode: 0o444 }
const E2B_LINKS = [
  { path: '/run/e2b/.E2B_SANDBOX', to: E2B_FILE.path },
  { path: '/run/e2b/.E2B_SANDBOX_ID', to: '/etc/hostname' },
]

const USR = '/usr'
/** Port of E2B's code interpreter. The host serves it to holders of a key; inside, the sandbox is told that it exists. */
const INTERPRETER_PORT = 49_999

/** Distinguishes our lines in /etc/hosts from those that the guest has added. */
const MARK = '# this sandbox'

/** One inode per 16 KiB, as mke2fs(8) plans for ordinary disks, with a minimum for the smallest disks. */
const INODES_PER_MIB = 64
const MIN_INODES = 1024

/** Pure. Decides everything about one sandbox. Throws BAD_REQUEST or MOUNT_UNREADABLE. The keeper rejects an invalid plan, so it is not checked again here. */
export function planSandbox(request: StrictCreateRequest, profile: Profile, template: Template, facts: MachineFacts): Plan {
  const limits = { ...profile.limits, ...given(request) }
  // Without root on the host, nobody inside can become root or write to the root file system.
  const isSudo = facts.root && facts.wall.sudo && !profile.noNewPrivileges
  const isWritable = facts.root && facts.wall.engine === null && profile.root === 'overlay'
  const root = isWritable ? overlay(template) : ({ kind: 'read-only' } as const)
  refuseLittleMemory(facts, limits.memoryMiB)
  const machine = planMachine(facts, template, limits)
  if (!facts.wall.mounts) refuseMounts(request, facts)
  const preload = preloaded(template, facts.wall.engine)
  return {
    version: 1,
    id: facts.id,
    kind: 'sandbox',
    wall: facts.wall.name,
    ...(facts.wall.reason === undefined ? {} : { wallReason: facts.wall.reason }),
    engine: facts.wall.engine,
    ...(machine === undefined ? {} : { machine }),
    template: template.name,
    profile: profile.name,
    leash: request.leash ?? profile.leash,
    dir: `${facts.home}/sandboxes/${facts.id}`,
    deathRecord: `${facts.home}/deaths/${facts.id}.json`,
    agent: facts.agent,
    // A machine has them in its disk images.
    binds:
      machine === undefined
        ? inOrder([...shown(template, root, isSudo), ...preload.binds, ...trustBinds(facts.trust), ...mounts(request, facts)])
        : [],
    symlinks: machine === undefined ? [...template.symlinks, ...(isWritable ? E2B_LINKS : [])] : [],
    root,
    files: [
      { path: '/etc/hostname', content: `${facts.id}\n`, mode: 0o644 },
      { path: '/etc/hosts', content: `127.0.0.1 localhost ${facts.id} ${MARK}\n::1 localhost ${MARK}\n`, mode: 0o644, mark: MARK },
      { path: '/etc/machine-id', content: `${facts.machineId}\n`, mode: 0o444 },
      ...preload.files,
      ...(isWritable ? [E2B_FILE] : []),
      ...(facts.airlock === null ? [] : [{ path: '/etc/resolv.conf', content: `nameserver ${NAME_SERVER}\n`, mode: 0o644 }]),
    ],
    writable: writable(facts.root),
    disk: disk(facts, limits.diskMiB),
    hostName: facts.id,
    user: USER,
    ...(facts.shown?.cwd ? { cwd: facts.shown.cwd } : {}),
    network: facts.airlock === null ? { mode: 'none' } : gate(facts.airlock),
    limits: {
      wallMs: limits.timeoutMs,
      onWall: facts.onWall,
      memoryBytes: limits.memoryMiB === null ? null : limits.memoryMiB * MIB,
      cpuMilli: limits.cpus === null ? null : Math.round(limits.cpus * 1000),
      pids: limits.pids,
      openFiles: limits.openFiles,
      outputBytes: limits.outputMiB === null ? null : Math.round(limits.outputMiB * MIB),
      onHit: limits.onHit,
    },
    capabilities: facts.root ? ROOT_CAPABILITIES : [],
    noNewPrivileges: !isSudo,
    seccomp: { profile: 'default', allowUserNamespaces: profile.seccomp.allowUserNamespaces },
    audit: { log: facts.auditLog, commands: profile.audit.commands && tellsCommands(facts.wall), maxBytes: profile.audit.maxMiB * MIB },
    zygote: facts.zygoteSocket === null ? null : { socket: facts.zygoteSocket, forks: 1 },
    serve: null,
    ...(isWritable ? { healthPort: INTERPRETER_PORT } : {}),
  }
}

/**
 * Whether commands are reported. The host's kernel sees none behind an engine: the engine must report them, or in a machine our agent. Otherwise the plan does
 * not claim that they are recorded.
 */
function tellsCommands({ engine, machine }: MachineFacts['wall']): boolean {
  return machine !== undefined || (engine?.traces ?? true)
}

/** The dynamic loader reads this file, whatever the environment says (ld.so(8)). */
function preloaded({ name, preloads }: Template, engine: Engine | null): Pick<Plan, 'binds' | 'files'> {
  if (engine === null || engine.preload === null) return { binds: [], files: [] }
  if (!preloads)
    throw new Fault('TEMPLATE_NOT_BUILT', `template ${name} was built by an earlier version, without a place for what wall gvisor needs`)
  const target = '/caisson/preload.so'
  return {
    binds: [{ source: engine.preload, target, mode: 'ro' }],
    files: [{ path: '/etc/ld.so.preload', content: `${target}\n`, mode: 0o444 }],
  }
}

/** For the zygote itself and some megabytes for each fork that it keeps ready (MOST in native/zygote/src/spare.rs). */
const ZYGOTE_MEMORY_MIB = 2048
const ZYGOTE_PIDS = 1024
const ZYGOTE_DISK_MIB = 64

/** Pure. The plan for a template's zygote, which runs only the template's code and keeps no files. */
export function planZygote(
  template: Template,
  facts: Omit<MachineFacts, 'zygoteSocket' | 'kept' | 'onWall' | 'airlock' | 'wall' | 'trust' | 'shown'> & {
    dir: string
    idleMs: number
    leash: Plan['leash']
  },
): Plan {
  if (template.zygote === null) throw new Fault('INTERNAL', `template ${template.name} has no zygote`)
  return {
    version: 1,
    id: facts.id,
    kind: 'zygote',
    wall: 'container',
    engine: null,
    template: template.name,
    profile: '',
    leash: facts.leash,
    dir: facts.dir,
    deathRecord: `${facts.home}/deaths/${facts.id}.json`,
    agent: facts.agent,
    binds: inOrder([...template.binds]),
    symlinks: [...template.symlinks],
    root: { kind: 'read-only' },
    files: [],
    writable: writable(false),
    disk: { kind: 'tmpfs', bytes: ZYGOTE_DISK_MIB * MIB, inodes: inodesFor(ZYGOTE_DISK_MIB) },
    hostName: 'zygote',
    user: USER,
    network: { mode: 'none' },
    limits: {
      wallMs: null,
      onWall: 'end',
      // Without root there may be no cgroup available, and the code inside is ours.
      memoryBytes: facts.root ? ZYGOTE_MEMORY_MIB * MIB : null,
      cpuMilli: null,
      pids: facts.root ? ZYGOTE_PIDS : null,
      openFiles: 4096,
      outputBytes: null,
      onHit: 'end',
    },
    capabilities: [],
    // Its forks would inherit this; they set it themselves if their plan says so. Everything that it sees is mounted nosuid.
    noNewPrivileges: !facts.root,
    seccomp: { profile: 'default', allowUserNamespaces: false },
    // Every fork would inherit its seccomp filter, which reports to the zygote's keeper, not to the fork's.
    audit: { log: facts.auditLog, commands: false, maxBytes: MIB },
    zygote: null,
    serve: {
      socket: `${facts.dir}/zygote.sock`,
      argv: [...template.zygote.argv],
      // The forks' home: caches that are made for one path are not reused for another.
      env: { ...template.zygote.env, HOME: USER.home },
      idleMs: facts.idleMs,
    },
  }
}

function gate({ socket, inspect, policy }: NonNullable<MachineFacts['airlock']>): Plan['network'] {
  const bounds = { maxConnections: MAX_CONNECTIONS, bytesPerSecond: null, idleMs: IDLE_MS }
  return { mode: 'gate', airlock: socket, inspect, ...bounds, policy: { ...policy } }
}

function disk({ root, home, kept }: MachineFacts, diskMiB: number): Plan['disk'] {
  const size = { bytes: diskMiB * MIB, inodes: inodesFor(diskMiB) }
  if (root) return { kind: 'image', ...(kept ?? { image: diskImage(home, diskMiB), take: false }), ...size }
  if (kept !== null) {
    throw new Fault('UNSUPPORTED', 'files are kept only where a sandbox has a disk of its own', { hint: 'Run Caisson as root.' })
  }
  return { kind: 'tmpfs', ...size }
}

function overlay({ name, ground }: Template): Plan['root'] {
  if (ground !== null) return { kind: 'overlay', ground, usr: USR }
  throw new Fault('TEMPLATE_NOT_BUILT', `template ${name} was built without what lies under a root that can be written to`)
}

/** The template's mounts. If sudo is to work, its rules in /etc must belong to root. */
function shown({ binds, etc, sudo }: Template, { kind }: Plan['root'], isSudo: boolean): Bind[] {
  const beside = kind === 'overlay' ? binds.filter(({ source }) => source !== USR && source !== etc) : binds
  if (!isSudo) return [...beside]
  return [...beside.map((bind): Bind => (bind.source === etc ? { ...bind, ownedBy: 'root' } : bind)), ...sudo]
}

/** The formatted image that disks of this size are copied from (disk.ts makes it). */
function diskImage(home: string, diskMiB: number): string {
  return `${home}/disks/ext4-${diskMiB}-${inodesFor(diskMiB)}.img`
}

function inodesFor(diskMiB: number): number {
  return Math.max(MIN_INODES, diskMiB * INODES_PER_MIB)
}

function writable(root: boolean): Plan['writable'] {
  const folders: Plan['writable'] = [
    { target: USER.home, owner: 'user', mode: 0o755 },
    { target: '/tmp', owner: 'root', mode: 0o1777 },
    { target: '/var/tmp', owner: 'root', mode: 0o1777 },
  ]
  // E2B runs such processes as root and starts contexts in /root. Here the user, who may become root, can at least enter that folder.
  return root ? [...folders, { target: '/root', owner: 'root', mode: 0o711 }] : folders
}

/** The limits that the request sets; null counts as set. */
function given(request: StrictCreateRequest): Partial<Profile['limits']> {
  const { timeoutMs, memoryMiB, cpus, pids, diskMiB, outputMiB, openFiles } = request
  const asked = { timeoutMs, memoryMiB, cpus, pids, diskMiB, outputMiB, openFiles }
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined))
}

/** Parents first: a parent mounted later would hide its children. */
function inOrder(binds: readonly Bind[]): Bind[] {
  return [...binds].sort((one, other) => (one.target < other.target ? -1 : one.target > other.target ? 1 : 0))
}
