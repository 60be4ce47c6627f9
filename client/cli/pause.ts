import { acquireDaemon } from '../embedded.ts'
import { ofEach } from './daemon/ids.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
Example:
  caisson pause i0123456789abcdefghi && caisson resume i0123456789abcdefghi`

/** Pauses sandboxes until they are resumed. */
export async function pause(argv: readonly string[]): Promise<number> {
  const command = verbParser('pause')
    .usage('ID...')
    .description('Stops sandboxes until they are resumed; prints each one that has stopped.')
    .argument('<ID...>')
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const daemon = await acquireDaemon('caisson pause', new AbortController().signal)
  return await ofEach(command.args, (id, signal) => daemon.pause(id, signal))
}
