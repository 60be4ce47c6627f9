import { Fault } from '@caisson/wire'
import { clientSettings } from '../settings.ts'
import { duration } from './arguments/duration.ts'
import { environment } from './arguments/environment.ts'
import { splitAtDashes } from './arguments/source.ts'
import { checkedId } from './daemon/ids.ts'
import { inside } from './daemon/inside.ts'
import { collected, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
Standard input is passed through; on a terminal the command gets a terminal. Ends with the command's own exit code, or as \`caisson run\` does.

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
    .description('Runs a command in a sandbox of the daemon, and ends with its exit code.')
    .argument('<ID>')
    .option('--user <name>', 'user or root')
    .option('--cwd <folder>', 'where it starts; without it the home of the user')
    .option('--env <name=value>', 'an environment variable; NAME alone hands on your own', collected, [])
    .option('--timeout <time>', 'the command is killed after this long: 30s, 2m; or none', (text) => duration(text) ?? undefined)
    .option('--json', 'print one JSON document at the end instead', false)
    .addHelpText('after', EXAMPLES)
  if (!parsed(command, own)) return 0
  const options: Options = command.opts()
  const [program, ...args] = rest ?? []
  if (program === undefined) throw new Fault('BAD_REQUEST', 'no command is named', { hint: 'Write caisson exec ID -- COMMAND.' })
  return await inside(checkedId(command.args[0] ?? ''), {
    command: [program, ...args],
    cwd: options.cwd,
    user: options.user,
    env: environment(options.env, clientSettings().environment),
    timeoutMs: options.timeout,
    keep: options.json,
  })
}
