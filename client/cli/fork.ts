import { acquireDaemon } from '../embedded.ts'
import { count } from './arguments/count.ts'
import { lifetime } from './arguments/duration.ts'
import { checkedId } from './daemon/ids.ts'
import { parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
Examples:
  caisson fork i0123456789abcdefghi
  caisson fork --count 3 --timeout 10m i0123456789abcdefghi`

/** Copies of a sandbox as it is now; the sandbox runs on. */
export async function fork(argv: readonly string[]): Promise<number> {
  const command = verbParser('fork')
    .usage('[options] ID')
    .description('Makes copies of a sandbox as it is now, all or none; prints their ids. The sandbox itself runs on.')
    .argument('<ID>')
    .option('--count <number>', 'how many', count('copies'), 1)
    .option('--timeout <time>', 'how long each may live: 30s, 2m; without it 5m', lifetime, 300_000)
    .option('--files', 'with its files alone, and not with what runs in it, where its wall can copy that', false)
    .option('--json', 'print the ids as a JSON array', false)
    .addHelpText('after', EXAMPLES)
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
