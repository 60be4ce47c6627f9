import { Fault } from '@caisson/wire'
import { clientSettings } from '../settings.ts'
import { duration } from './arguments/duration.ts'
import { environment } from './arguments/environment.ts'
import { splitAtDashes } from './arguments/source.ts'
import { checkedId } from './daemon/ids.ts'
import { inside } from './daemon/inside.ts'
import { collected, fitted, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
Standard input is passed through; on a terminal the command gets a terminal. Exit codes are those of \`caisson run\`.

Examples:
  caisson exec i0123456789abcdefghi -- ls -l
  caisson exec --user root i0123456789abcdefghi -- sh -c 'id > /root/who'
  tar c . | caisson exec i0123456789abcdefghi -- tar x -C /tmp`

interface Options {
  user?: string
  cwd?: string
  env: string[]
  timeout?: number
  json: boolean
}

/** Runs a command in a sandbox of the daemon. */
export async function exec(argv: readonly string[]): Promise<number> {
  const { own, rest } = splitAtDashes(argv)
  const command = verbParser('exec')
    .usage('[options] ID -- COMMAND...')
    .description('Runs a command in a sandbox of the daemon, and exits with its exit code.')
    .argument('<ID>')
    .option('--user <name>', 'user or root')
    .option('--cwd <folder>', 'where it starts; by default the user’s home')
    .option('--env <name=value>', 'an environment variable; NAME alone passes on your own value', collected, [])
    .option('--timeout <time>', 'kill the command after this time: 30s, 2m; or none', (text) => duration(text) ?? undefined)
    .option('--json', 'print one JSON document at the end instead of the output', false)
    .addHelpText('after', fitted(EXAMPLES))
  const [program, ...args] = rest ?? []
  // Reported first; otherwise the options of a command without -- would be parsed as the verb's own.
  if (program === undefined && !own.includes('--help') && !own.includes('-h')) {
    throw new Fault('BAD_REQUEST', 'no command is named after --', { hint: 'Write: caisson exec ID -- COMMAND.' })
  }
  if (!parsed(command, own) || program === undefined) return 0
  const options: Options = command.opts()
  return await inside(checkedId(command.args[0] ?? ''), {
    command: [program, ...args],
    cwd: options.cwd,
    user: options.user,
    env: environment(options.env, clientSettings().environment),
    timeoutMs: options.timeout,
    keep: options.json,
  })
}
