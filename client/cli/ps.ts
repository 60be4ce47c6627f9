import { acquireDaemon } from '../embedded.ts'
import { span, table } from './daemon/table.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
Examples:
  caisson ps
  caisson ps --all
  caisson ps --json | jq -r '.[].id'`

const HEADINGS = ['ID', 'TEMPLATE', 'STATE', 'AGE', 'ENDS IN', 'CPUS', 'MEMORY', 'METADATA']

type Info = Awaited<ReturnType<Awaited<ReturnType<typeof acquireDaemon>>['info']>>

/** Lists the daemon's sandboxes that belong to the key's owner. */
export async function ps(argv: readonly string[]): Promise<number> {
  const command = verbParser('ps')
    .usage('[options]')
    .description('Lists your key’s sandboxes, newest first.')
    .option('--all', 'include paused ones', false)
    .option('--json', 'print JSON', false)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const { all, json }: { all: boolean; json: boolean } = command.opts()
  const { signal } = new AbortController()
  const daemon = await acquireDaemon('caisson ps', signal)
  const found: Info[] = []
  for await (const info of daemon.list({ states: all ? ['running', 'paused'] : ['running'] }, signal)) found.push(info)
  process.stdout.write(json ? `${JSON.stringify(found, null, 2)}\n` : table(HEADINGS, found.map(row)))
  return 0
}

function row({ id, template, alias, state, startedMs, endMs, cpus, memoryMiB, metadata }: Info): string[] {
  const now = Date.now()
  const pairs = Object.entries(metadata).map(([name, value]) => `${name}=${value}`)
  const left = state === 'paused' ? '-' : span(endMs - now)
  return [id, alias ?? template, state, span(now - startedMs), left, String(cpus), `${memoryMiB} MiB`, pairs.join(' ')]
}
