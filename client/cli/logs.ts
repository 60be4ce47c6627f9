import { acquireDaemon } from '../embedded.ts'
import { checkedId } from './daemon/ids.ts'
import { type LogEntry, logOf } from './daemon/log.ts'
import { oneLine } from './ending.ts'
import { parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
Also of a sandbox that is gone. What programs printed is not in it.

Examples:
  caisson logs i0123456789abcdefghi
  caisson logs --follow --json i0123456789abcdefghi | jq .message`

/** What happened in a sandbox of the daemon. */
export async function logs(argv: readonly string[]): Promise<number> {
  const command = verbParser('logs')
    .usage('[options] ID')
    .description('Prints what happened in a sandbox of the daemon: commands, programs that they started, runs of code, limits, its end.')
    .argument('<ID>')
    .option('--follow', 'go on until the sandbox is gone', false)
    .option('--json', 'print JSON, one object a line', false)
    .addHelpText('after', EXAMPLES)
  if (!parsed(command, argv)) return 0
  const { follow, json }: { follow: boolean; json: boolean } = command.opts()
  const id = checkedId(command.args[0] ?? '')
  const { signal } = new AbortController()
  const daemon = await acquireDaemon('caisson logs', signal)
  for await (const entry of logOf(daemon, id, follow, signal)) {
    process.stdout.write(json ? `${JSON.stringify(entry)}\n` : line(entry))
  }
  return 0
}

function line({ timestamp, level, message }: LogEntry): string {
  return `${timestamp}  ${level.padEnd(5)}  ${oneLine(message)}\n`
}
