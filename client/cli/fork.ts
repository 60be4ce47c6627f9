import { Option } from 'commander'
import { acquireDaemon } from '../embedded.ts'
import { count } from './arguments/count.ts'
import { lifetime } from './arguments/duration.ts'
import { checkedId } from './daemon/ids.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
Examples:
  caisson fork i0123456789abcdefghi
  caisson fork --count 3 --timeout 10m i0123456789abcdefghi`

/** Copies a sandbox in its current state; the original continues. */
export async function fork(argv: readonly string[]): Promise<number> {
  const command = verbParser('fork')
    .usage('[options] ID')
    .description('Copies a sandbox as it is now, and prints the ids of the copies: all of them, or none. The sandbox itself keeps running.')
    .argument('<ID>')
    .option('--count <number>', 'how many', count('copies'), 1)
    .addOption(new Option('--timeout <time>', 'how long each copy may live: 30s, 2m').argParser(lifetime).default(300_000, '5m'))
    .option('--files', 'copy the files only, even if the wall can copy memory', false)
    .option('--json', 'print the ids as a JSON array', false)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const options: { count: number; timeout: number; files: boolean; json: boolean } = command.opts()
  const id = checkedId(command.args[0] ?? '')
  const { signal } = new AbortController()
  const daemon = await acquireDaemon('caisson fork', signal)
  const wish = { count: options.count, timeoutMs: options.timeout, ...(options.files ? { memory: false } : {}) }
  const forks = (await daemon.fork(id, wish, signal)).map((held) => held.id)
  process.stdout.write(options.json ? `${JSON.stringify(forks)}\n` : forks.map((fork) => `${fork}\n`).join(''))
  return 0
}
