import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Fault, WALLS } from '@caisson/wire'
import { count } from './arguments/count.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

/** In the order in which they run. */
const BENCHMARKS = ['start', 'exec', 'command', 'project', 'density', 'dlp', 'http', 'airlock', 'audit', 'walls', 'crowd']

const EXAMPLES = `
Benchmarks:
  start     from create to first output, beside bwrap and docker
  exec      round trips in a running sandbox
  command   the first command of the README, as a whole
  project   npm test in a project folder, beside the same without isolation
  density   memory of idle sandboxes, five per round
  dlp       the search of outgoing data, by kind of data
  http      a daemon over HTTP: creates, commands, code, files
  airlock   what the gate adds to connections (as root)
  audit     what records cost, alone and at 5,000 a second
  walls     each wall, beside plain runsc, docker and QEMU (minutes)
  crowd     a daemon with two thousand idle sandboxes (minutes)

Examples:
  caisson bench start
  caisson bench walls --only gvisor
  caisson bench --rounds 20 --json`

/** Runs each benchmark in a separate process, so that the command line's own cost is not measured. */
export async function bench(argv: readonly string[]): Promise<number> {
  const command = verbParser('bench')
    .usage('[options] [NAME...]')
    .description('Measures this installation, beside other tools that are installed.')
    .argument('[NAME...]', BENCHMARKS.join(', '))
    .option('--rounds <number>', 'number of rounds', count('rounds'), 100)
    .option('--only <wall>', `for walls: only this one: ${WALLS.join(', ')}`)
    .option('--json', 'print JSON documents instead of tables', false)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const options: { rounds: number; only?: string; json: boolean } = command.opts()
  const unknown = command.args.find((name) => !BENCHMARKS.includes(name))
  if (unknown !== undefined) {
    throw new Fault('BAD_REQUEST', `${JSON.stringify(unknown)} is not a benchmark`, { hint: `One of: ${BENCHMARKS.join(', ')}.` })
  }
  const names = command.args.length === 0 ? BENCHMARKS : command.args
  refuseOnly(options.only, names)
  const bundle = fileURLToPath(new URL('bench.mjs', import.meta.url))
  const only = options.only === undefined ? [] : ['--only', options.only]
  return await ended([bundle, ...names, '--rounds', String(options.rounds), ...only, ...(options.json ? ['--json'] : [])])
}

function refuseOnly(only: string | undefined, names: readonly string[]): void {
  if (only === undefined) return
  if (names.join() !== 'walls')
    throw new Fault('BAD_REQUEST', '--only is for the benchmark "walls" alone', { hint: 'Say caisson bench walls --only WALL.' })
  if (!WALLS.some((wall) => wall === only))
    throw new Fault('BAD_REQUEST', `--only: ${JSON.stringify(only)} is not a wall`, { hint: `One of: ${WALLS.join(', ')}.` })
}

function ended(args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: 'inherit' })
    child.on('error', (cause) => reject(new Fault('INTERNAL', 'the benchmarks could not be started', { cause })))
    child.on('close', (code) => resolve(code ?? 125))
  })
}
