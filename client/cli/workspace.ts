import { Fault } from '@caisson/wire'
import { openWorkspaces } from '../embedded.ts'
import { span, table } from './daemon/table.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
A workspace is the set of files that a sandbox of profile workspace leaves for the next one: its home, and whatever else it wrote. One sandbox at a
time can use it.

Examples:
  caisson run --profile workspace --workspace lessons -- bash
  caisson workspace list
  caisson workspace remove lessons`

const MIB = 1024 * 1024

/** Manages workspaces: files that sandboxes leave for the next one. */
export async function workspace(argv: readonly string[]): Promise<number> {
  const command = verbParser('workspace')
    .usage('[options] [list | remove NAME...]')
    .description('Lists the workspaces of this machine, or removes some, with all their files.')
    .argument('[WORD...]')
    .option('--json', 'print JSON', false)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const { json }: { json: boolean } = command.opts()
  const [verb = 'list', ...names] = command.args
  const { signal } = new AbortController()
  const workspaces = await openWorkspaces('caisson workspace')
  if (verb === 'remove' && names.length > 0) {
    for (const name of names) await workspaces.remove(name, signal)
    return 0
  }
  if (verb !== 'list' || names.length > 0) {
    throw new Fault('BAD_REQUEST', `nothing to do for \`caisson workspace ${command.args.join(' ')}\``, {
      hint: 'See `caisson workspace --help`.',
    })
  }
  const found = await workspaces.list()
  const rows = found.map(({ name, usedBytes, wall, changedMs, sandbox }) => [
    name,
    usedBytes === null ? '-' : `${Math.ceil(usedBytes / MIB)} MiB`,
    wall ?? 'lost',
    span(Date.now() - changedMs),
    sandbox ?? '-',
  ])
  process.stdout.write(json ? `${JSON.stringify(found, null, 2)}\n` : table(['NAME', 'USES', 'WALL', 'CHANGED', 'SANDBOX'], rows))
  return 0
}
