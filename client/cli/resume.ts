import { acquireDaemon } from '../embedded.ts'
import { lifetime } from './arguments/duration.ts'
import { ofEach } from './daemon/ids.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
A running one gets more time, never less.

Examples:
  caisson resume i0123456789abcdefghi
  caisson resume --timeout 1h i0123456789abcdefghi`

/** Resumes paused sandboxes. */
export async function resume(argv: readonly string[]): Promise<number> {
  const command = verbParser('resume')
    .usage('[options] ID...')
    .description('Continues paused sandboxes; prints each one that runs.')
    .argument('<ID...>')
    .option('--timeout <time>', 'how long it may live from now: 30s, 2m; by default 5m', lifetime)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const { timeout: timeoutMs }: { timeout?: number } = command.opts()
  const daemon = await acquireDaemon('caisson resume', new AbortController().signal)
  return await ofEach(command.args, (id, signal) => daemon.connect(id, { timeoutMs }, signal))
}
