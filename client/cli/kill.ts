import { once } from 'node:events'
import { createInterface } from 'node:readline/promises'
import { Fault } from '@caisson/wire'
import { acquireDaemon } from '../embedded.ts'
import { ofEach } from './daemon/ids.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
Examples:
  caisson kill i0123456789abcdefghi
  caisson kill --all
  caisson kill $(caisson ps --json | jq -r '.[] | select(.metadata.job == "7") | .id')`

/** Ends sandboxes, whether running or paused. */
export async function kill(argv: readonly string[]): Promise<number> {
  const command = verbParser('kill')
    .usage('ID... | --all [--yes]')
    .description('Ends sandboxes, running or paused, and deletes their files; prints each one that has ended.')
    .argument('[ID...]')
    .option('--all', 'all sandboxes of your key, running or paused', false)
    .option('--yes', 'with --all: do not ask first', false)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const { all, yes }: { all: boolean; yes: boolean } = command.opts()
  const ids = command.args
  if (all ? ids.length > 0 : ids.length === 0) {
    const wrong = all ? '--all and ids exclude each other' : 'no id is named'
    throw new Fault('BAD_REQUEST', wrong, { hint: '`caisson kill ID...` ends those, `caisson kill --all` all there are.' })
  }
  if (yes && !all) throw new Fault('BAD_REQUEST', '--yes: nothing is asked without --all', { hint: 'Leave it out.' })
  const daemon = await acquireDaemon('caisson kill', new AbortController().signal)
  if (!all) return await ofEach(ids, (id, signal) => daemon.kill(id, signal))
  const found: string[] = []
  for await (const { id } of daemon.list({ states: ['running', 'paused'] }, new AbortController().signal)) found.push(id)
  if (found.length === 0 || !(yes || (await isWanted(found)))) return 0
  return await ofEach(found, (id, signal) => daemon.kill(id, signal))
}

const INTERRUPTED = 130

/** Asks the person at the terminal; without a terminal it is an error. */
async function isWanted(ids: readonly string[]): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new Fault('BAD_REQUEST', '--all asks first, and there is no terminal to ask on', { hint: 'Use `caisson kill --all --yes`.' })
  }
  const asking = createInterface({ input: process.stdin, output: process.stderr })
  asking.once('SIGINT', () => {
    asking.close()
    process.exit(INTERRUPTED)
  })
  try {
    const many = ids.length === 1 ? 'sandbox' : 'sandboxes'
    const question = `This ends ${ids.length} ${many} and deletes ${ids.length === 1 ? 'its' : 'their'} files: ${ids.join(' ')}\nGo on? [y/N] `
    // End of input is not a yes: the question then rejects or never resolves.
    const answer = await Promise.race([asking.question(question).catch(() => ''), once(asking, 'close').then(() => '')])
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    asking.close()
  }
}
