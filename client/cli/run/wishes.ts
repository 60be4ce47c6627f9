import { resolve } from 'node:path'
import { type CreateRequest, Fault, type Network, WALLS, wallNamed } from '@caisson/wire'
import { clientSettings } from '../../settings.ts'
import { countOrNone, cpusOrNone } from '../arguments/count.ts'
import { duration } from '../arguments/duration.ts'
import { environment } from '../arguments/environment.ts'
import { mount } from '../arguments/mount.ts'
import { network } from '../arguments/network.ts'
import { scanMode } from '../arguments/scan-mode.ts'
import { size, sizeOrNone } from '../arguments/size.ts'
import { type Source, source, splitAtDashes } from '../arguments/source.ts'
import { collected, fitted, parsed, verbParser } from '../parsing.ts'

/** The parsed command line of `run`. */
export interface RunWishes {
  source: Source
  /** As written: a language name, alias or extension. */
  language: string | undefined
  request: CreateRequest
  /** Paths on this machine to copy in. */
  inputs: string[]
  /** Folder on this machine for what is copied out. */
  out: string | undefined
  json: boolean
  dryRun: boolean
  /** Allow every public address, and print the addresses reached as rules at the end. */
  learn: boolean
}

const LEARN = 'learn'

const EXAMPLES = `
Examples:
  caisson run report.py                        a program; its extension or first line tells the language
  caisson run report.py --out results          also copies out its charts and /home/user/out
  caisson run -c 'print(6*7)'                  a piece of code
  echo 'console.log(1)' | caisson run --lang js -
  caisson run --mount .:rw -- npm test         a command that may write to the current folder
  caisson run --timeout 5s --memory 256 -- make

If there is a folder report/ beside report.py, it is copied to /home/user/report; nothing else is copied.

Exit codes: the program's own; 124 for the time limit, 125 if Caisson could not run it, 126 if a policy refused it, 137 for another limit or a kill.`

/** Undefined: help was requested and printed. */
export function runWishes(argv: readonly string[]): RunWishes | undefined {
  const { own, rest } = splitAtDashes(argv)
  const command = verbParser('run')
    .usage('[options] FILE | -c CODE | - | -- COMMAND...')
    .description('Runs it once in a new sandbox, prints its output, and exits with its exit code.')
    .argument('[FILE...]', 'a program and its arguments')
    .option('-c, --code <code>', 'a piece of code')
    .option('--lang <language>', 'python, javascript, typescript, bash, java or r')
    .option('--profile <name>', 'a named set of choices: default, code-interpreter, project, ...; see `caisson profile list`')
    .option('--workspace <name>', 'which workspace to use, if the profile keeps files (`workspace`); by default the one called default')
    .option('--wall <name>', `the kind of isolation: ${WALLS.join(', ')}; by default the profile’s`, wallNamed)
    .option('--template <name>', 'the root file system: base, code-interpreter')
    .option(
      '--net <mode>',
      'what may be reached: none, open, learn, replay, allow:HOST,HOST, or a JSON file of rules; allow:registries means the hosts that this machine’s package clients use',
      (text) => (text === LEARN ? LEARN : network(text)),
    )
    .option('--scan <mode>', 'what to do with code that looks hostile: off, report, block; by default the profile’s', scanMode)
    .option('--timeout <time>', 'how long the sandbox may live: 30s, 2m; or none', limit(duration))
    .option('--memory <size>', 'MiB, or with a unit: 512, 1GiB; or none', limit(sizeOrNone))
    .option('--cpus <number>', 'processors: 1, 0.5; or none', limit(cpusOrNone))
    .option('--pids <number>', 'processes and threads; or none', limit(countOrNone))
    .option('--disk <size>', 'how much it may write', size)
    .option('--output <size>', 'how much it may print; or none', limit(sizeOrNone))
    .option('--env <name=value>', 'an environment variable; NAME alone passes on your own value', collected, [])
    .option('--mount <dir[:ro|:rw]>', 'mount a folder of this machine at the same path; read-only unless :rw', collected, [])
    .option('--in <path>', 'copy a file or folder to /home/user', collected, [])
    .option('--out <dir>', 'where to copy charts and /home/user/out; by default charts go to caisson-out')
    .option('--json', 'print one JSON document at the end instead of the output', false)
    .option('--dry-run', 'print the plan as JSON, and run nothing', false)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, own)) return undefined
  const options: Options = command.opts()
  return {
    source: source(command.args, rest, options.code),
    language: options.lang,
    request: requestOf(options),
    inputs: options.in,
    out: options.out,
    json: options.json,
    dryRun: options.dryRun,
    learn: options.net === LEARN,
  }
}

interface Options {
  code?: string
  lang?: string
  profile?: string
  workspace?: string
  wall?: string
  template?: string
  net?: Network
  scan?: NonNullable<CreateRequest['scan']>
  timeout?: Limit
  memory?: Limit
  cpus?: Limit
  pids?: Limit
  disk?: number
  output?: Limit
  env: string[]
  mount: string[]
  in: string[]
  out?: string
  json: boolean
  dryRun: boolean
}

function requestOf(options: Options): CreateRequest {
  const request: CreateRequest = {}
  if (options.profile !== undefined) {
    request.profile = options.profile
    // Shown inside only if the profile says so.
    request.folder = resolve('.')
  }
  if (options.workspace !== undefined) request.workspace = options.workspace
  if (options.wall !== undefined) request.wall = options.wall
  if (options.template !== undefined) request.template = options.template
  if (options.net !== undefined) request.network = options.net === LEARN ? 'open' : options.net
  if (options.scan !== undefined) request.scan = options.scan
  if (options.timeout !== undefined) request.timeoutMs = options.timeout.value
  if (options.memory !== undefined) request.memoryMiB = options.memory.value
  if (options.cpus !== undefined) request.cpus = options.cpus.value
  if (options.pids !== undefined) request.pids = options.pids.value
  if (options.disk !== undefined) request.diskMiB = options.disk
  if (options.output !== undefined) request.outputMiB = options.output.value
  if (options.env.length > 0) request.env = environment(options.env, clientSettings().environment)
  if (options.mount.length > 0) request.mounts = options.mount.map(mount)
  return request
}

/** Boxed, because commander treats a bare null as an option without a value. */
interface Limit {
  value: number | null
}

function limit(parse: (text: string) => number | null): (text: string) => Limit {
  return (text) => ({ value: parse(text) })
}

/** The option that sets each field of a request. */
const OPTIONS: Partial<Record<string, string>> = {
  workspace: '--workspace',
  template: '--template',
  network: '--net',
  timeoutMs: '--timeout',
  memoryMiB: '--memory',
  cpus: '--cpus',
  pids: '--pids',
  diskMiB: '--disk',
  outputMiB: '--output',
  env: '--env',
  mounts: '--mount',
}

/** Rewrites the host's complaint about a field in terms of the option that set it. */
export function ofOptions(error: unknown): unknown {
  if (!(error instanceof Fault) || error.code !== 'BAD_REQUEST') return error
  const [, field = '', rest = ''] = /^(\w+)(\b.*)$/s.exec(error.message) ?? []
  const option = OPTIONS[field]
  if (option === undefined || !/^[.\w]*: /.test(rest)) return error
  return new Fault(error.code, `${option}${rest}`, { hint: error.hint.replace('the named field', 'it'), cause: error })
}
