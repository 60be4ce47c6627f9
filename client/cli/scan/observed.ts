import { Fault } from '@caisson/wire'
import { acquireDaemon, openAudit } from '../../embedded.ts'
import { clientSettings } from '../../settings.ts'
import { withPort } from '../daemon/connections.ts'
import { logOf } from '../daemon/log.ts'

/** What the code appears to need. */
export interface Intended {
  readonly imports: readonly string[]
  readonly hosts: readonly string[]
  readonly paths: readonly string[]
  readonly commands: readonly string[]
}

/** `unexpected`: done, but not in the code. `unused`: in the code, but not done. */
export interface Difference {
  readonly unexpected: readonly string[]
  readonly unused: readonly string[]
}

/** What a sandbox did, compared with what its code says. Null: not observable here, which does not mean that it was not done. */
export interface Observed {
  readonly hosts: Difference
  readonly commands: Difference | null
  readonly paths: null
  readonly imports: null
  /** Copied in or out through the API: by the caller, not by the program. */
  readonly carried: readonly string[]
  /** The reason for each null. */
  readonly unseen: readonly string[]
}

type Entry = Readonly<Record<string, unknown>>

const UNSEEN = ['imports and paths: what a program opens is recorded by no wall']
/** Shells that merely start a command line: not worth reporting where the commands themselves are. */
const SHELLS = new Set(['sh', 'bash', 'dash'])
/** The wall's own programs, interpreters that it starts, and the places searched for one. */
const OWN = '/caisson/'

/** Rejects with NOT_FOUND if there is no record of the sandbox. */
export async function observed(intended: Intended, id: string, signal: AbortSignal): Promise<Observed> {
  const [hosts, commands, carried] = [new Set<string>(), new Set<string>(), new Set<string>()]
  let wall: unknown
  let seesCommands = true
  let isTold = false
  for await (const entry of entriesOf(id, signal)) {
    const { kind } = entry
    if (kind === 'create') {
      wall = entry['wall']
      seesCommands = recordsCommands(entry['plan']) ?? wall === 'container'
    }
    if (kind === 'network' || kind === 'network-request') hosts.add(hostOf(entry))
    if (kind === 'file') carried.add(`${entry['act']} ${entry['path']}`)
    if (kind === 'exec') [seesCommands, isTold] = [true, isTold || entry['told'] === 'inside']
    if (kind === 'exec' && !isOwn(entry)) commands.add(nameOf(String(entry['path'])))
  }
  if (wall === undefined) throw new Fault('NOT_FOUND', `no record of sandbox ${id}`)
  const unseen = [...UNSEEN]
  if (!seesCommands) unseen.push(`commands: behind wall ${String(wall)} what children execute is not recorded`)
  else if (isTold) unseen.push('commands that root inside keeps to itself: behind wall microvm they are what the machine says')
  return {
    hosts: difference(intended.hosts, hosts),
    commands: seesCommands ? commandDifference(intended.commands.map(nameOf), commands) : null,
    paths: null,
    imports: null,
    carried: [...carried].sort(),
    unseen,
  }
}

async function* entriesOf(id: string, signal: AbortSignal): AsyncGenerator<Entry> {
  if (clientSettings().url === undefined) return yield* (await openAudit(undefined)).entries({ sandbox: id }, signal)
  const daemon = await acquireDaemon('caisson scan --run', signal)
  for await (const { fields } of logOf(daemon, id, false, signal)) yield fields
}

/** Undefined: unknown, as with a daemon. */
function recordsCommands(plan: unknown): boolean | undefined {
  return (plan as { audit?: { commands?: boolean } } | undefined)?.audit?.commands
}

function hostOf({ name, address, port }: Entry): string {
  return withPort(String(name ?? address ?? ''), port === undefined || port === null ? null : Number(port))
}

function isOwn({ path, argv }: Entry): boolean {
  const words = Array.isArray(argv) ? argv.map(String) : []
  return [String(path), ...words.slice(1)].some((word) => word.startsWith(OWN))
}

function commandDifference(intended: readonly string[], seen: ReadonlySet<string>): Difference {
  const isNamed = intended.length > 0
  const found = [...seen].filter((name) => !(isNamed && SHELLS.has(name)) || intended.includes(name))
  return difference(intended, new Set(found))
}

/** A host name without a port is the name query that precedes a connection. */
function difference(intended: readonly string[], seen: ReadonlySet<string>): Difference {
  const connected = [...seen].filter((one) => /:\d+$/.test(one)).map((one) => one.replace(/:\d+$/, ''))
  const isSaid = (one: string) => intended.includes(one) || intended.some((said) => said.replace(/:\d+$/, '') === one)
  return {
    unexpected: [...seen].filter((one) => !isSaid(one) && !connected.includes(one)).sort(),
    unused: [...new Set(intended)].filter((one) => !seen.has(one)).sort(),
  }
}

function nameOf(command: string): string {
  return command.split('/').at(-1) ?? command
}
