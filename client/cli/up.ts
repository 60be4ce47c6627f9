import { Fault } from '@caisson/wire'
import { openDaemon } from '../embedded.ts'
import { startDetached } from './daemon/detached.ts'
import { exportLines, exportsOf, type Reach } from './daemon/exports.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const DEFAULT_PORT = '7007'

const EXAMPLES = `
It prints three variables that point E2B's SDKs at it. With --domain and --tls they differ: sandboxes are then reached over HTTPS, by names below
the domain.

Ctrl-C or SIGTERM ends the daemon; its sandboxes live on, and the next daemon takes them over.

Examples:
  caisson up
  eval "$(caisson up --detach)" && python program_for_e2b.py
  caisson up --port 8080 --host 0.0.0.0
  caisson up --domain sbx.localhost --tls`

interface Options {
  port: string
  host?: string
  domain?: string
  tls: boolean
  detach: boolean
}

/** Runs the daemon in this process or, detached, in a separate one. */
export async function up(argv: readonly string[]): Promise<number> {
  const command = verbParser('up')
    .usage('[options]')
    .description('Starts the daemon, which runs sandboxes for E2B’s SDKs, for Caisson’s own, and for the other verbs.')
    .option('--port <number>', 'port to listen on; 0 for any free one', DEFAULT_PORT)
    .option('--host <address>', 'address to listen on; by default only this machine reaches the daemon')
    .option('--domain <name>', 'servers inside are reached as <port>-<id>.<name>')
    .option('--tls', 'HTTPS, with a certificate for the domain from Caisson’s own authority', false)
    .option('--detach', 'run in the background; wait until it answers', false)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const options: Options = command.opts()
  const port = portOf(options.port)
  if (options.tls && options.domain === undefined) {
    throw new Fault('BAD_REQUEST', '--tls needs a --domain', { hint: 'Name one, such as sbx.localhost.' })
  }
  return options.detach ? await detached(wordsOf(options)) : await here(port, options)
}

async function here(port: number, { host, domain, tls }: Options): Promise<number> {
  const stop = new AbortController()
  const wished = { port, tls, ...(host === undefined ? {} : { hostName: host }), ...(domain === undefined ? {} : { domain }) }
  let close = () => stop.abort(new Error('the daemon was told to end'))
  let asked = 0
  const end = () => {
    asked += 1
    // The first request lets running work finish; a second one means at once.
    if (asked > 1) process.exit(130)
    close()
  }
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, end)
  const daemon = await openDaemon(wished, stop.signal)
  close = () => void daemon.close().catch(() => undefined)
  if (asked > 0) close()
  say(daemon)
  process.stderr.write(`caisson: the daemon is at ${daemon.url}, its state in ${daemon.home}\n`)
  await daemon.closed
  return 0
}

async function detached(words: readonly string[]): Promise<number> {
  const started = await startDetached(words)
  if ('exitCode' in started) {
    process.stderr.write(`${started.said}\n`)
    return started.exitCode
  }
  say(started.daemon)
  process.stderr.write(`caisson: the daemon is at ${started.daemon.url}, its log in ${started.log}; \`caisson down\` ends it\n`)
  return 0
}

function say(reach: Reach): void {
  process.stdout.write(exportLines(exportsOf(reach)))
}

function wordsOf({ port, host, domain, tls }: Options): string[] {
  const named = (name: string, value: string | undefined) => (value === undefined ? [] : [`--${name}`, value])
  return [...named('port', port), ...named('host', host), ...named('domain', domain), ...(tls ? ['--tls'] : [])]
}

function portOf(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (port <= 65_535) return port
  throw new Fault('BAD_REQUEST', `${JSON.stringify(text)} is not a port`, { hint: 'Give a number from 0 to 65535.' })
}
