import { acquireDaemon } from '../embedded.ts'
import { ofEach } from './daemon/ids.ts'
import { parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
Examples:
  caisson kill i0123456789abcdefghi
  caisson kill $(caisson ps --all --json | jq -r '.[].id')`

/** Ends sandboxes, running or paused. */
export async function kill(argv: readonly string[]): Promise<number> {
  const command = verbParser('kill')
    .usage('ID...')
    .description('Ends sandboxes, running or paused, with all that is in them; prints each that has ended.')
    .argument('<ID...>')
    .addHelpText('after', EXAMPLES)
  if (!parsed(command, argv)) return 0
  const daemon = await acquireDaemon('caisson kill', new AbortController().signal)
  return await ofEach(command.args, (id, signal) => daemon.kill(id, signal))
}
