import { Fault } from '@caisson/wire'
import { clientSettings } from '../settings.ts'
import { type Asked, askedBy, learned, withPort } from './daemon/connections.ts'
import { checkedId } from './daemon/ids.ts'
import { table } from './daemon/table.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
Works without a daemon and after the sandbox has ended. The last column is what --net would have to allow; - if no rule can allow it.

Examples:
  caisson why --last
  caisson why i0123456789abcdefghi
  caisson why --json i0123456789abcdefghi | jq -r '.[].wouldAllow'
  caisson why --learn --last >rules.json && caisson run --net rules.json fetch.py`

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

/** Lists what a sandbox tried to reach and was denied, each once; or what it did reach, as rules. */
export async function why(argv: readonly string[]): Promise<number> {
  const command = verbParser('why')
    .usage('[options] ID | --last')
    .description('Lists the network access that a sandbox was refused, with the smallest rule that would allow it.')
    .argument('[ID]')
    .option('--last', 'the sandbox that was created last in this state folder', false)
    .option('--learn', 'print the smallest rules that allow what it did reach, as JSON for --net or a profile', false)
    .option('--json', 'print JSON', false)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const { json, last, learn }: { json: boolean; last: boolean; learn: boolean } = command.opts()
  const [named] = command.args
  if ((named === undefined) !== last) throw new Fault('BAD_REQUEST', 'no sandbox is named, or two', { hint: 'Give one ID, or --last.' })
  if (last && clientSettings().url !== undefined) {
    throw new Fault('BAD_REQUEST', '--last is about this machine, and CAISSON_URL names another daemon', { hint: 'Name the ID.' })
  }
  const found = await askedBy(named === undefined ? undefined : checkedId(named), new AbortController().signal)
  if (found === undefined) throw new Fault('NOT_FOUND', `no record of ${named === undefined ? 'any sandbox' : `sandbox ${named}`}`)
  if (learn) process.stdout.write(`${JSON.stringify(learned(found.asked), null, 2)}\n`)
  else {
    const denials = denialsIn(found.asked)
    process.stdout.write(json ? `${JSON.stringify(denials, null, 2)}\n` : page(denials))
  }
  return 0
}

function denialsIn(asked: readonly Asked[]): Denial[] {
  const denials = new Map<string, Denial>()
  for (const { at, host, port, isAllowed, rule, reason, wouldAllow } of asked) {
    if (isAllowed) continue
    const target = withPort(host, port)
    const key = JSON.stringify([target, rule])
    const times = (denials.get(key)?.times ?? 0) + 1
    denials.set(key, { target, times, lastAt: at, rule, reason, wouldAllow })
  }
  return [...denials.values()]
}

function page(denials: readonly Denial[]): string {
  return denials.length === 0 ? 'Nothing was refused.\n' : table(HEADINGS, denials.map(row))
}

function row({ target, times, rule, reason, wouldAllow }: Denial): string[] {
  return [target, String(times), rule, reason, wouldAllow ?? '-']
}
