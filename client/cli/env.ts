import { Fault } from '@caisson/wire'
import { localDaemon } from '../local-daemon.ts'
import { clientSettings } from '../settings.ts'
import { exportLines, exportsOf, type Reach } from './daemon/exports.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
Examples:
  eval "$(caisson env)"
  caisson env --json`

/** Prints the output of `up` again. */
export async function env(argv: readonly string[]): Promise<number> {
  const command = verbParser('env')
    .usage('[options]')
    .description('Prints the variables that point E2B’s SDKs at the daemon, for eval.')
    .option('--json', 'print a JSON object', false)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const { json }: { json: boolean } = command.opts()
  const variables = exportsOf(await reach())
  process.stdout.write(json ? `${JSON.stringify(variables, null, 2)}\n` : exportLines(variables))
  return 0
}

async function reach(): Promise<Reach> {
  const { url, key, home } = clientSettings()
  if (url !== undefined) {
    if (key === undefined) throw new Fault('UNAUTHENTICATED', 'CAISSON_URL is set, and CAISSON_API_KEY is not')
    return { url, key, domain: null, caPath: null }
  }
  const daemon = await localDaemon(home)
  if (daemon === undefined) throw new Fault('DAEMON_UNREACHABLE', `no daemon runs on ${home}`, { hint: 'Start one with `caisson up`.' })
  return daemon
}
