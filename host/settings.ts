import { mkdirSync, statfsSync, statSync } from 'node:fs'
import { homedir, totalmem } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Fault } from '@caisson/wire'
import { type OperatorRange, readOperatorSetting } from './airlock/operator.ts'
import { MACHINES, type Machines } from './walls/microvm/machines.ts'

/** Everything this process is told from outside, read once. No other file looks at the environment. */
export interface Settings {
  /** State: absolute, ours, mode 0700. */
  readonly home: string
  /** Built templates, one folder each; CAISSON_TEMPLATES lets several state folders share them. */
  readonly templates: string
  /** How long a zygote waits for work before it ends itself; 0: it ends with this host. */
  readonly zygoteIdleMs: number
  /** How long a paused sandbox of a daemon keeps its processes, and with them its memory. */
  readonly frozenGraceMs: number
  /** The longest time that a sandbox of a daemon may be given at once. */
  readonly maxTimeoutMs: number
  /** What the snapshots of one owner may be, where its key says nothing of it; null: as much as there is. */
  readonly snapshotBounds: { readonly count: number | null; readonly bytes: number | null }
  /** Whether states of sandboxes are saved, for others to be restored from. */
  readonly savesStates: boolean
  /** How many sandboxes of the usual kind a daemon has waiting at the least; more where the demand is more. 0: none, ever. */
  readonly pool: number
  /** Base URL of a collector of traces that speaks OTLP over HTTP; null: nobody collects. */
  readonly otlpEndpoint: string | null
  /** File of authorities (PEM) that servers may rest on besides those that this machine trusts, where connections are looked into; null: none. */
  readonly extraAuthorities: string | null
  /** Reserved addresses (private ones, loopback, ...) that rules of sandboxes may open; none, unless the operator names them. */
  readonly allowPrivate: readonly OperatorRange[]
  /** The installation: what holds dist/, native/ and profiles/. */
  readonly root: string
  readonly keeper: string
  readonly agent: string
  readonly zygoteLibrary: string
  /** What appends to the audit log, as a library for Node. */
  readonly recorder: string
  /** Files of the audit log: how large one grows, and how much of those that are full is kept; 0: everything. */
  readonly audit: {
    readonly segmentBytes: number
    readonly keep: { readonly bytes: number; readonly ms: number }
    readonly terminals: { readonly mode: TerminalMode; readonly maxBytes: number }
  }
  /** Mends calls that an engine's kernel lacks, for programs inside. */
  readonly preloadLibrary: string
  /** Has an older QEMU open the memory of machines for reading only. */
  readonly readonlyLibrary: string
  /** Has an emulated machine fork itself. */
  readonly twinsLibrary: string
  /** Programs of the runtimes, bound at /caisson/runtimes. */
  readonly programs: string
  /** Program of the threads that search what leaves sandboxes. */
  readonly searcher: string
  /** Program of the thread that looks at code before it runs. */
  readonly scanning: string
  /** Those that ship, and the operator's own. */
  readonly profiles: readonly [string, string]
  /** Variables that tell package clients where packages are, as one text. */
  readonly clientEnvironment: string
  /** The runsc to use, and no other; null: the newest of the PATH that works. */
  readonly runsc: string | null
  /** What runs machines: `auto` is Firecracker where there is one that starts a machine, else QEMU. */
  readonly machines: Machines
  /** The Firecracker to use, and no other; null: the one of the usual places. Who names one asks for it. */
  readonly firecracker: string | null
  readonly uid: number
  readonly gid: number
}

const DEFAULT_ZYGOTE_IDLE_MS = 600_000
const DEFAULT_FROZEN_GRACE_MS = 600_000
const DEFAULT_MAX_TIMEOUT_MS = 86_400_000
/** As many as a sixty-fourth part of this machine's memory holds, one of them being some 8 MiB. */
const DEFAULT_POOL = Math.min(48, Math.max(2, Math.floor(totalmem() / (64 * 8 * 2 ** 20))))
const DEFAULT_SNAPSHOTS = 1000
/** Of the disk that the state folder lies on. */
const DEFAULT_SNAPSHOT_SHARE = 0.25
const DEFAULT_AUDIT_FILE_MIB = 64
const DEFAULT_AUDIT_TERMINAL_MIB = 16
const TERMINAL_MODES = ['output', 'all', 'off'] as const
type TerminalMode = (typeof TERMINAL_MODES)[number]
const MIB = 1024 * 1024
const DAY_MS = 86_400_000
/** sun_path holds this much and a NUL (unix(7)). */
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

/** The bundle is dist/*.mjs and this source file is host/settings.ts: either way one folder below the installation. */
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

/** With its parents. Node's own way never returns below /proc, where a folder is neither there nor can be made (seen with Node 20.20). */
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
