import { Fault } from '@caisson/wire'
import { exitCodeOf, faultLine, inTheCatalogue, oneLine } from './ending.ts'
import { settledOutput, watchOutput } from './output.ts'
import { VERBS, type Verb } from './shelf.ts'

const VERSION = '0.1.0'

function usage(): string {
  const width = Math.max(...Object.keys(VERBS).map((name) => name.length)) + 2
  const verbs = Object.entries(VERBS).map(([name, verb]) => `  ${name.padEnd(width)}${verb.summary}`)
  return [
    'Usage: caisson VERB [options]',
    '',
    'Runs untrusted code in a sandbox.',
    '',
    'Verbs:',
    ...verbs,
    '',
    '`caisson VERB --help` describes one verb. In a clone, `./caisson setup` sets up',
    'everything and runs nothing.',
    '',
  ].join('\n')
}

async function verbOf(name: string): Promise<Verb> {
  if (Object.hasOwn(VERBS, name)) return await VERBS[name as keyof typeof VERBS].load()
  throw new Fault('BAD_REQUEST', `${JSON.stringify(name)} is not a verb`, { hint: `One of: ${Object.keys(VERBS).join(', ')}.` })
}

async function main([name, ...argv]: readonly string[]): Promise<number> {
  const [about] = argv
  if (name === 'help' && about !== undefined) return await (await verbOf(about))(['--help'])
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(usage())
    return name === undefined ? 125 : 0
  }
  if (name === '--version' || name === '-V') {
    process.stdout.write(`${VERSION}\n`)
    return 0
  }
  return await (await verbOf(name))(argv)
}

// Node's own format takes two lines, with its process id and advice about Node.
process.removeAllListeners('warning').on('warning', ({ message }) => process.stderr.write(`caisson: ${oneLine(message)}\n`))

/** Ends the process once the verb has finished and all of its output has been consumed. */
async function ended(argv: readonly string[]): Promise<never> {
  const exitCode = await main(argv).catch((error: unknown) => {
    const fault = inTheCatalogue(error)
    process.stderr.write(`${faultLine(fault)}\n`)
    return exitCodeOf(fault)
  })
  process.exit((await settledOutput()) ?? exitCode)
}

watchOutput()
void ended(process.argv.slice(2))
