import { mkdirSync, statfsSync, statSync } from 'node:fs'
import { homedir, totalmem } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Fault } from '@caisson/wire'
import { type OperatorRange, readOperatorSetting } from './airlock/operator.ts'
import { MACHINES, type Machines } from './walls/microvm/machines.ts'

/** Everything that this process is configured with from outside, read once. No other file reads the environment. */
export interface Settings {
  /** State folder: an absolute path, owned by this user, mode 0700. */
  readonly home: string
  /** Built templates, one folder each. With CAISSON_TEMPLATES, several state folders can share them. */
  readonly templates: string
  /** Idle timeout of a zygote; 0: it ends with this host. */
  readonly zygoteIdleMs: number
  /** How long a paused sandbox of a daemon keeps its processes, and with them its memory. */
  readonly frozenGraceMs: number
  /** The longest time limit that a sandbox of a daemon can be given at once. */
  readonly maxTimeoutMs: number
  /** Bounds for one owner's snapshots if its key sets none; null: unbounded. */
  readonly snapshotBounds: { readonly count: number | null; readonly bytes: number | null }
  /** Whether states of sandboxes are saved for others to be restored from. */
  readonly savesStates: boolean
  /** How many sandboxes of the default kind a daemon keeps ready at least; more on demand. 0: no pool. */
  readonly pool: number
  /** Base URL of a trace collector that speaks OTLP over HTTP; null: no traces. */
  readonly otlpEndpoint: string | null
  /** PEM file with authorities that inspected connections accept for servers, besides those that this machine trusts; null: none. */
  readonly extraAuthorities: string | null
  /** Reserved addresses (private, loopback, ...) that sandbox rules may open; none unless the operator names them. */
  readonly allowPrivate: readonly OperatorRange[]
  /** The installation, which contains dist/, native/ and profiles/. */
  readonly root: string
  readonly keeper: string
  readonly agent: string
  readonly zygoteLibrary: string
  /** The library for Node that appends to the audit log. */
  readonly recorder: string
  /** Audit log files: maximum size of one, and how much of the full ones is kept; 0: everything. */
  readonly audit: {
    readonly segmentBytes: number
    readonly keep: { readonly bytes: number; readonly ms: number }
    readonly terminals: { readonly mode: TerminalMode; readonly maxBytes: number }
  }
  /** Library that works around system calls which an engine's kernel lacks, for programs inside. */
  readonly preloadLibrary: string
  /** Library that makes an older QEMU open the memory of machines read-only. */
  readonly readonlyLibrary: string
  /** Library that makes an emulated machine fork itself. */
  readonly twinsLibrary: string
  /** Programs of the runtimes, bound at /caisson/runtimes. */
  readonly programs: string
  /** Program of the threads that search outgoing data. */
  readonly searcher: string
  /** Program of the thread that scans code before it runs. */
  readonly scanning: string
  /** Folders of the profiles that ship, and of the operator's own. */
  readonly profiles: readonly [string, string]
  /** Environment variables that tell package clients where packages are, as one text. */
  readonly clientEnvironment: string
  /** The only runsc to use; null: the newest in the PATH that works. */
  readonly runsc: string | null
  /** What runs machines. `auto`: Firecracker if there is one that starts a machine, else QEMU. */
  readonly machines: Machines
  /** The only Firecracker to use; null: the one of the usual places. Naming one selects Firecracker. */
  readonly firecracker: string | null
  readonly uid: number
  readonly gid: number
}

const DEFAULT_ZYGOTE_IDLE_MS = 600_000
const DEFAULT_FROZEN_GRACE_MS = 600_000
const DEFAULT_MAX_TIMEOUT_MS = 86_400_000
/** As many as fit in 1/64 of this machine's memory, at some 8 MiB each. */
const DEFAULT_POOL = Math.min(48, Math.max(2, Math.floor(totalmem() / (64 * 8 * 2 ** 20))))
const DEFAULT_SNAPSHOTS = 1000
/** Share of the disk that the state folder lies on. */
const DEFAULT_SNAPSHOT_SHARE = 0.25
const DEFAULT_AUDIT_FILE_MIB = 64
const DEFAULT_AUDIT_TERMINAL_MIB = 16
const TERMINAL_MODES = ['output', 'all', 'off'] as const
type TerminalMode = (typeof TERMINAL_MODES)[number]
const MIB = 1024 * 1024
const DAY_MS = 86_400_000
/** sun_path holds this many bytes and a NUL (unix(7)). */
const MAX_SOCKET_PATH_BYTES = 107
const LONGEST_SOCKET = 'zygotes/code-interpreter-00000000/zygote.sock'

export interface SettingsOptions {
  home?: string
  environment?: Readonly<Record<string, string | undefined>>
}

/** Throws HOME_UNUSABLE, SETUP_INCOMPLETE or BAD_REQUEST. */
export function readSettings(options: SettingsOptions = {}): Settings {
  const environment = options.environment ?? process.env
  const root = installation()
  const bin = join(root, 'native', 'bin')
  const home = openHome(options.home ?? environment['CAISSON_HOME'])
  const settings: Settings = {
    home,
    templates: resolve(environment['CAISSON_TEMPLATES'] || join(home, 'templates')),
    zygoteIdleMs: whole('CAISSON_ZYGOTE_IDLE_MS', environment, DEFAULT_ZYGOTE_IDLE_MS),
    frozenGraceMs: whole('CAISSON_FROZEN_GRACE_MS', environment, DEFAULT_FROZEN_GRACE_MS),
    maxTimeoutMs: whole('CAISSON_MAX_TIMEOUT_MS', environment, DEFAULT_MAX_TIMEOUT_MS),
    snapshotBounds: {
      count: whole('CAISSON_MAX_SNAPSHOTS', environment, DEFAULT_SNAPSHOTS) || null,
      bytes: whole('CAISSON_MAX_SNAPSHOT_MIB', environment, shareOfDisk(home)) * MIB || null,
    },
    savesStates: whole('CAISSON_SAVED_STATES', environment, 1) !== 0,
    pool: whole('CAISSON_POOL', environment, DEFAULT_POOL),
    otlpEndpoint: endpoint('OTEL_EXPORTER_OTLP_ENDPOINT', environment),
    extraAuthorities: environment['CAISSON_EXTRA_CA'] ? resolve(environment['CAISSON_EXTRA_CA']) : null,
    allowPrivate: reserved('CAISSON_ALLOW_PRIVATE', environment),
    root,
    keeper: built(join(bin, 'caisson-keeper')),
    agent: built(join(bin, 'caisson-agent')),
    zygoteLibrary: built(join(bin, 'libcaisson_zygote.so')),
    recorder: built(join(bin, 'caisson-recorder.node')),
    audit: {
      segmentBytes: Math.max(1, whole('CAISSON_AUDIT_FILE_MIB', environment, DEFAULT_AUDIT_FILE_MIB)) * MIB,
      keep: {
        bytes: whole('CAISSON_AUDIT_KEEP_MIB', environment, 0) * MIB,
        ms: whole('CAISSON_AUDIT_KEEP_DAYS', environment, 0) * DAY_MS,
      },
      terminals: {
        mode: oneOf(TERMINAL_MODES, 'CAISSON_AUDIT_TERMINALS', environment, 'output'),
        maxBytes: whole('CAISSON_AUDIT_TERMINAL_MIB', environment, DEFAULT_AUDIT_TERMINAL_MIB) * MIB,
      },
    },
    preloadLibrary: built(join(bin, 'libcaisson_preload.so')),
    readonlyLibrary: built(join(bin, 'libcaisson_readonly.so')),
    twinsLibrary: built(join(bin, 'libcaisson_twins.so')),
    programs: built(join(root, 'dist', 'runtimes')),
    searcher: built(join(root, 'dist', 'searcher.mjs')),
    scanning: built(join(root, 'dist', 'scanning.mjs')),
    profiles: [join(root, 'profiles'), join(home, 'profiles')],
    clientEnvironment: told(environment),
    runsc: environment['CAISSON_RUNSC'] || null,
    machines: oneOf(MACHINES, 'CAISSON_MACHINES', environment, environment['CAISSON_FIRECRACKER'] ? 'firecracker' : 'auto'),
    firecracker: environment['CAISSON_FIRECRACKER'] || null,
    uid: process.getuid?.() ?? -1,
    gid: process.getgid?.() ?? -1,
  }
  return Object.freeze(settings)
}

/** The bundle is dist/*.mjs and this source is host/settings.ts: both one folder below the installation. */
function installation(): string {
  return dirname(dirname(fileURLToPath(import.meta.url)))
}

function built(path: string): string {
  try {
    statSync(path)
  } catch (cause) {
    throw new Fault('SETUP_INCOMPLETE', `${path} is missing`, { cause })
  }
  return path
}

function whole(name: string, environment: Readonly<Record<string, string | undefined>>, otherwise: number): number {
  const text = environment[name]
  if (text === undefined || text === '') return otherwise
  if (!/^\d{1,10}$/.test(text)) throw new Fault('BAD_REQUEST', `${name} is a whole number, not ${JSON.stringify(text)}`)
  return Number(text)
}

function shareOfDisk(home: string): number {
  const { blocks, bsize } = statfsSync(home)
  return Math.floor((blocks * bsize * DEFAULT_SNAPSHOT_SHARE) / MIB)
}

function oneOf<Word extends string>(
  words: readonly Word[],
  name: string,
  environment: Readonly<Record<string, string | undefined>>,
  otherwise: Word,
): Word {
  const text = environment[name] || otherwise
  const word = words.find((one) => one === text)
  if (word === undefined) throw new Fault('BAD_REQUEST', `${name} is one of ${words.join(', ')}, not ${JSON.stringify(text)}`)
  return word
}

function told(environment: Readonly<Record<string, string | undefined>>): string {
  const entries = Object.entries(environment).filter(([name]) => /^(path$|npm_config_|pip_|go|cargo_|git_|https?_proxy$)/i.test(name))
  return JSON.stringify(entries.sort())
}

function endpoint(name: string, environment: Readonly<Record<string, string | undefined>>): string | null {
  const text = environment[name]
  if (text === undefined || text === '') return null
  if (!/^https?:\/\/[^/]/.test(text) || !URL.canParse(text)) throw new Fault('BAD_REQUEST', `${name} is no URL: ${JSON.stringify(text)}`)
  return text
}

function reserved(name: string, environment: Readonly<Record<string, string | undefined>>): readonly OperatorRange[] {
  const text = environment[name]
  return text === undefined || text === '' ? [] : readOperatorSetting(text, name)
}

const FOLDERS = [
  ...['sandboxes', 'zygotes', 'deaths', 'disks', 'kept', 'snapshots', 'workspaces'],
  ...['audit', 'templates', 'engines', 'profiles'],
]

function openHome(named: string | undefined): string {
  const home = resolve(named === undefined || named === '' ? join(homedir(), '.caisson') : named)
  if (Buffer.byteLength(join(home, LONGEST_SOCKET)) > MAX_SOCKET_PATH_BYTES) {
    throw new Fault('HOME_UNUSABLE', `${home} is too long a path for the sockets below it`)
  }
  try {
    makeFolder(home)
    const found = statSync(home)
    if (found.uid !== process.getuid?.()) throw new Fault('HOME_UNUSABLE', `${home} belongs to another user`)
    if ((found.mode & 0o077) !== 0) {
      throw new Fault('HOME_UNUSABLE', `${home} is open to other users`, { hint: `Close it with \`chmod 700 ${home}\`.` })
    }
    for (const folder of FOLDERS) makeFolder(join(home, folder))
  } catch (cause) {
    if (cause instanceof Fault) throw cause
    throw new Fault('HOME_UNUSABLE', `${home}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
  return home
}

/** Makes a folder and its parents. Node's recursive mkdir never returns below /proc, where a folder neither exists nor can be made (seen with Node 20.20). */
function makeFolder(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return
  const parent = dirname(path)
  if (parent !== path) makeFolder(parent)
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    const there = error instanceof Error && 'code' in error && error.code === 'EEXIST'
    if (!there || !statSync(path).isDirectory()) throw error
  }
}
