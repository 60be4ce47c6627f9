import { acquireDaemon } from '../embedded.ts'
import { checkedId } from './daemon/ids.ts'
import { type LogEntry, logOf } from './daemon/log.ts'
import { table } from './daemon/table.ts'
import { parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
Also of a sandbox that is gone. The last column is what --net would have to say for it to be let through; - where no rule would.

Examples:
  caisson why i0123456789abcdefghi
  caisson why --json i0123456789abcdefghi | jq -r '.[].wouldAllow'`

const HEADINGS = ['TARGET', 'TIMES', 'RULE', 'REASON', 'WOULD ALLOW']

interface Denial {
  target: string
  times: number
  lastAt: string
  rule: string
  reason: string
  /** Null: no rule would. */
  wouldAllow: string | null
}

/** What a sandbox of the daemon wanted to reach and was not let, each once. */
export async function why(argv: readonly string[]): Promise<number> {
  const command = verbParser('why')
    .usage('[options] ID')
    .description('Lists what a sandbox was not let reach, with the smallest rule that would allow it.')
    .argument('<ID>')
    .option('--json', 'print them as JSON', false)
    .addHelpText('after', EXAMPLES)
  if (!parsed(command, argv)) return 0
  const { json }: { json: boolean } = command.opts()
  const id = checkedId(command.args[0] ?? '')
  const { signal } = new AbortController()
  const daemon = await acquireDaemon('caisson why', signal)
  const denials = new Map<string, Denial>()
  for await (const entry of logOf(daemon, id, false, signal)) note(denials, entry)
  const found = [...denials.values()]
  process.stdout.write(json ? `${JSON.stringify(found, null, 2)}\n` : table(HEADINGS, found.map(row)))
  return 0
}

function note(denials: Map<string, Denial>, { timestamp, fields }: LogEntry): void {
  const { kind, verdict, name, address, port, rule = '', reason = '', wouldAllow = null } = fields
  if ((kind !== 'network' && kind !== 'network-request') || (verdict !== 'deny' && verdict !== 'refuse')) return
  const host = name ?? address ?? ''
  const target = port === undefined ? host : `${host}:${port}`
  const key = JSON.stringify([target, rule])
  const times = (denials.get(key)?.times ?? 0) + 1
  denials.set(key, { target, times, lastAt: timestamp, rule, reason, wouldAllow })
}

function row({ target, times, rule, reason, wouldAllow }: Denial): string[] {
  return [target, String(times), rule, reason, wouldAllow ?? '-']
}
