import { Fault } from '@caisson/wire'
import { openSecrets } from '../embedded.ts'
import { hiddenValue } from './arguments/value.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
A secret is stored in the state folder of this machine, readable by its owner only. A network policy assigns it to a host (\`credentials\`), and the gate
adds it to requests. It is never inside a sandbox. The value is read from standard input, so that it appears in no process list.

Examples:
  caisson secret set OPENAI_KEY <key.txt
  caisson secret list
  caisson secret rm OPENAI_KEY`

/** More than a secret's size limit. */
const MAX_BYTES = 64 * 1024

/** Manages secrets, which sandboxes may use but not see. */
export async function secret(argv: readonly string[]): Promise<number> {
  const command = verbParser('secret')
    .usage('[options] [list | set NAME | rm NAME...]')
    .description('Lists the names of this machine’s secrets, stores one from standard input, or removes some.')
    .argument('[WORD...]')
    .option('--json', 'print names as a JSON array', false)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const { json }: { json: boolean } = command.opts()
  const [verb = 'list', ...names] = command.args
  const [name, ...more] = names
  if (verb === 'list' && name === undefined) {
    const found = await (await openSecrets('caisson secret')).names()
    process.stdout.write(json ? `${JSON.stringify(found)}\n` : found.map((one) => `${one}\n`).join(''))
    return 0
  }
  if (verb === 'set' && name !== undefined && more.length === 0) {
    const secrets = await openSecrets('caisson secret')
    await secrets.set(name, await given(name))
    return 0
  }
  if (verb === 'rm' && name !== undefined) {
    const secrets = await openSecrets('caisson secret')
    for (const one of names) await secrets.remove(one)
    return 0
  }
  throw new Fault('BAD_REQUEST', `caisson secret ${[verb, ...names].join(' ')}: no such command, or a word is missing`, {
    hint: 'Write caisson secret list, caisson secret set NAME, or caisson secret rm NAME.',
  })
}

async function given(name: string): Promise<string> {
  const value = await hiddenValue(name, MAX_BYTES)
  if (value.length > MAX_BYTES) throw new Fault('BAD_REQUEST', `the secret ${name} is longer than ${MAX_BYTES / 1024} KiB`)
  return value.toString()
}
