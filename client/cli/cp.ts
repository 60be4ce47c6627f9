import { Fault } from '@caisson/wire'
import { Sandbox } from '../sandbox.ts'
import { copyIn, copyOut } from './daemon/copying.ts'
import { checkedId } from './daemon/ids.ts'
import { oneLine } from './ending.ts'
import { fitted, parsed, verbParser } from './parsing.ts'
import { Interrupts } from './run/interrupts.ts'

const EXAMPLES = `
A path inside is written ID:PATH and starts at /home/user unless it begins with /. If the target is an existing folder, the copy goes into it;
otherwise the copy gets the target's name. Write a local path with a colon as ./a:b.

Links in a folder are copied in as links. Only regular files and folders without hidden names are copied out; what is not copied is named, and the
exit code is 1.

Examples:
  caisson cp data.csv i0123456789abcdefghi:
  caisson cp src/ i0123456789abcdefghi:/tmp/project
  caisson cp i0123456789abcdefghi:out/report.pdf .`

interface Place {
  id: string | undefined
  path: string
}

/** Copies a file or a folder into a sandbox of the daemon, or out of it. */
export async function cp(argv: readonly string[]): Promise<number> {
  const command = verbParser('cp')
    .usage('FROM TO')
    .description('Copies a file or a folder into or out of a sandbox of the daemon.')
    .argument('<FROM>')
    .argument('<TO>')
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const [from, to] = command.args.map(place)
  if (from === undefined || to === undefined || (from.id === undefined) === (to.id === undefined)) {
    throw new Fault('BAD_REQUEST', 'one of the two places has to be inside, and one on this machine', { hint: 'Write it as ID:PATH.' })
  }
  // Partial copies are removed again.
  using interrupts = new Interrupts()
  try {
    return await copied(checkedId(from.id ?? to.id ?? ''), from, to, interrupts.signal)
  } catch (error) {
    if (interrupts.exitCode !== undefined) return interrupts.exitCode
    throw error
  }
}

async function copied(id: string, from: Place, to: Place, signal: AbortSignal): Promise<number> {
  const sandbox = await Sandbox.attach(id, { signal })
  if (to.id !== undefined) {
    await copyIn(sandbox, from.path, to.path, signal)
    return 0
  }
  const left = await copyOut(sandbox, from.path, to.path, signal)
  for (const what of left) process.stderr.write(`caisson: left behind: ${oneLine(what)}\n`)
  return left.length === 0 ? 0 : 1
}

function place(text: string): Place {
  const [, id, path = ''] = /^([a-z0-9]+):(.*)$/s.exec(text) ?? []
  if (id === undefined) return { id, path: text }
  const whole = path.startsWith('/') || path.startsWith('~') ? path : `/home/user/${path}`
  return { id, path: whole }
}
