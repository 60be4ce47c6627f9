import { Fault, WALLS, type WallName, wallNamed } from '@caisson/wire'
import { acquireDaemon } from '../embedded.ts'
import { count, cpusOrNone } from './arguments/count.ts'
import { size } from './arguments/size.ts'
import { createKey, type KeptSnapshots, type KeyInfo, listKeys, type Quotas, revokeKey } from './daemon/keyring.ts'
import { table } from './daemon/table.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
This requires an operator's key, such as the one in the state folder of this machine. A key is printed once, when it is created: only its hash is stored.
Owners cannot see each other's sandboxes. One owner may have several keys.

Examples:
  caisson keys
  caisson keys create alice --sandboxes 10 --memory 8GiB
  caisson keys create carol --snapshots 20 --snapshot-disk 4GiB
  caisson keys create mallory --least-wall gvisor
  caisson keys revoke 80640107-af7a-4f1e-837c-d399a369921b`

const HEADINGS = [
  'ID',
  'OWNER',
  'OPERATOR',
  'CREATED',
  'SANDBOXES',
  'CREATES/S',
  'CPUS',
  'MEMORY',
  'DISK',
  'SNAPSHOTS',
  'THEIR DISK',
  'LEAST WALL',
]

interface Options {
  operator: boolean
  sandboxes?: number
  createsPerSecond?: number
  cpus?: number | null
  memory?: number
  disk?: number
  snapshots?: number
  snapshotDisk?: number
  leastWall?: WallName
  json: boolean
}

/** Manages who may use the daemon. */
export async function keys(argv: readonly string[]): Promise<number> {
  const command = verbParser('keys')
    .usage('[options] [list | create OWNER | revoke ID...]')
    .description('Lists the keys of the daemon, creates one for an owner, or revokes some.')
    .argument('[WORD...]')
    .option('--operator', 'a key that may also do what concerns this machine', false)
    .option('--sandboxes <number>', 'quota: sandboxes at once', count('sandboxes'))
    .option('--creates-per-second <number>', 'quota: sandboxes created per second', count('sandboxes'))
    .option('--cpus <number>', 'quota: processors of all its sandboxes', cpusOrNone)
    .option('--memory <size>', 'quota: memory of all its sandboxes', size)
    .option('--disk <size>', 'quota: disks of all its sandboxes and workspaces', size)
    .option('--snapshots <number>', 'quota: number of snapshots', count('snapshots'))
    .option('--snapshot-disk <size>', 'quota: disk space of snapshots', size)
    .option('--least-wall <name>', `its sandboxes get no weaker wall: ${WALLS.join(', ')}`, wallNamed)
    .option('--json', 'print JSON', false)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const options: Options = command.opts()
  const [verb = 'list', ...names] = command.args
  const work = workOf(verb, names, options)
  const { signal } = new AbortController()
  process.stdout.write(await work(await acquireDaemon('caisson keys', signal), signal))
  return 0
}

type Work = (daemon: Awaited<ReturnType<typeof acquireDaemon>>, signal: AbortSignal) => Promise<string>

/** Arguments are checked before the daemon is asked. */
function workOf(verb: string, names: readonly string[], options: Options): Work {
  const [name, ...more] = names
  if (verb === 'list' && name === undefined) {
    return async (daemon, signal) => {
      const found = await listKeys(daemon, signal)
      return options.json ? json(found) : table(HEADINGS, found.map(row))
    }
  }
  if (verb === 'create' && name !== undefined && more.length === 0) {
    return async (daemon, signal) => {
      const made = await createKey(daemon, wishOf(name, options), signal)
      return options.json ? json(made) : `${made.key}\n`
    }
  }
  if (verb === 'revoke' && name !== undefined) {
    return async (daemon, signal) => {
      for (const id of names) await revokeKey(daemon, id, signal)
      return options.json ? json(names) : names.map((id) => `${id}\n`).join('')
    }
  }
  throw new Fault('BAD_REQUEST', `caisson keys ${[verb, ...names].join(' ')}: no such command, or a word is missing`, {
    hint: 'Write caisson keys, caisson keys create OWNER, or caisson keys revoke ID.',
  })
}

function wishOf(owner: string, options: Options) {
  const { operator, leastWall } = options
  return { owner, operator, quotas: quotasOf(options), ...(leastWall === undefined ? {} : { leastWall }) }
}

function quotasOf({ sandboxes, createsPerSecond, cpus, memory, disk, snapshots, snapshotDisk }: Options): Quotas {
  return {
    sandboxes: sandboxes ?? null,
    createsPerSecond: createsPerSecond ?? null,
    cpus: cpus ?? null,
    memoryMiB: memory ?? null,
    diskMiB: disk ?? null,
    snapshots: snapshots ?? null,
    snapshotMiB: snapshotDisk ?? null,
  }
}

function row({ id, owner, operator, createdAt, quotas, leastWall, snapshots }: KeyInfo & { snapshots: KeptSnapshots }): string[] {
  const { sandboxes, createsPerSecond, cpus, memoryMiB, diskMiB } = quotas
  const most = (value: number | null, unit = '') => (value === null ? '-' : `${value}${unit}`)
  return [
    id,
    owner,
    operator ? 'yes' : 'no',
    createdAt,
    most(sandboxes),
    most(createsPerSecond),
    most(cpus),
    most(memoryMiB, ' MiB'),
    most(diskMiB, ' MiB'),
    of(snapshots.count, snapshots.mostCount),
    of(mib(snapshots.bytes), snapshots.mostBytes === null ? null : mib(snapshots.mostBytes), ' MiB'),
    leastWall,
  ]
}

function of(used: number, most: number | null, unit = ''): string {
  return most === null ? `${used}${unit}` : `${used} of ${most}${unit}`
}

function mib(bytes: number): number {
  return Math.ceil(bytes / (1024 * 1024))
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
