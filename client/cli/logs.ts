import { acquireDaemon } from '../embedded.ts'
import { checkedId } from './daemon/ids.ts'
import { type LogEntry, logOf } from './daemon/log.ts'
import { oneLine } from './ending.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
Works after the sandbox has ended, too. The output of programs is not included.

Examples:
  caisson logs i0123456789abcdefghi
  caisson logs --follow --json i0123456789abcdefghi | jq .message`

/** Prints the events in a sandbox of the daemon. */
export async function logs(argv: readonly string[]): Promise<number> {
  const command = verbParser('logs')
    .usage('[options] ID')
    .description(
      'Prints what happened in a sandbox of the daemon: commands, the programs that they started, runs of code, limits, its end.',
    )
    .argument('<ID>')
    .option('--follow', 'continue until the sandbox has ended', false)
    .option('--json', 'print one JSON object per line', false)
    .addHelpText('after', fitted(EXAMPLES))
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
