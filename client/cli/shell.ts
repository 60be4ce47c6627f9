import { Fault } from '@caisson/wire'
import { checkedId } from './daemon/ids.ts'
import { inside } from './daemon/inside.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
\`exit\` or Ctrl-D leaves it; the sandbox lives on. Exits with the exit code of the shell.

Examples:
  caisson shell i0123456789abcdefghi
  caisson shell --user root i0123456789abcdefghi`

/** Opens a shell in a sandbox of the daemon, on this terminal. */
export async function shell(argv: readonly string[]): Promise<number> {
  const command = verbParser('shell')
    .usage('[options] ID')
    .description('Opens a shell in a sandbox of the daemon, on this terminal.')
    .argument('<ID>')
    .option('--user <name>', 'user or root')
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const { user }: { user?: string } = command.opts()
  const id = checkedId(command.args[0] ?? '')
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    throw new Fault('BAD_REQUEST', 'a shell needs a terminal on both sides', {
      hint: `Without one: caisson exec ${id} -- bash -c COMMAND.`,
    })
  }
  const env = { LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' }
  return await inside(id, { command: ['/bin/bash', '-i', '-l'], user, env, keep: false })
}
