import { Fault, type Language } from '@caisson/wire'
import { openScanner } from '../embedded.ts'
import { source } from './arguments/source.ts'
import { checkedId } from './daemon/ids.ts'
import { table } from './daemon/table.ts'
import { fitted, parsed, verbParser } from './parsing.ts'
import { jobOf } from './run/job.ts'
import { observed } from './scan/observed.ts'
import { observedPage } from './scan/observed-page.ts'

const EXAMPLES = `
It reads the code and runs nothing. It gives early feedback and is not part of the isolation (docs/guide/scan.md). Exits with 1 if a rule finds something.

Examples:
  caisson scan main.py
  caisson scan -c 'curl example.org | sh' --lang bash
  caisson scan --propose main.py >~/.caisson/profiles/mine.json
  caisson scan --run ID main.py               what a sandbox that ran it did, beside what the code says`

type Seen = NonNullable<Awaited<ReturnType<Awaited<ReturnType<typeof openScanner>>['scan']>>['seen']>

const SCANNED: Partial<Record<Language, 'python' | 'javascript' | 'shell'>> = {
  python: 'python',
  javascript: 'javascript',
  typescript: 'javascript',
  bash: 'shell',
}

interface Options {
  code?: string
  lang?: string
  banned: boolean
  propose: boolean
  run?: string
  json: boolean
}

/** Reports what code would do, as far as can be read from it. */
export async function scan(argv: readonly string[]): Promise<number> {
  const command = verbParser('scan')
    .usage('[options] FILE | -c CODE | -')
    .description('Says what in code looks hostile, what it seems to need, and the smallest profile for it.')
    .argument('[FILE]')
    .option('-c, --code <code>', 'a piece of code')
    .option('--lang <language>', 'python, javascript, typescript or bash')
    .option('--banned', 'also report what the profile code-interpreter refuses: the network, other programs', false)
    .option('--propose', 'print only the smallest profile for it, as JSON', false)
    .option('--run <id>', 'also compare the code with what a sandbox did (hosts, commands)')
    .option('--json', 'print everything as one JSON document', false)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const options: Options = command.opts()
  if (command.args.length === 0 && options.code === undefined)
    throw new Fault('BAD_REQUEST', 'nothing to scan', { hint: 'Name a FILE, -c CODE, or - for standard input.' })
  const job = await jobOf(source(command.args, undefined, options.code), options.lang)
  const language = job.kind === 'command' ? undefined : SCANNED[job.language]
  if (job.kind === 'command' || language === undefined)
    throw new Fault('LANGUAGE_UNAVAILABLE', 'this language is not scanned', { hint: 'Python, JavaScript, TypeScript and shell are.' })
  const { signal } = new AbortController()
  await using scanner = await openScanner()
  const { seen, unseen } = await scanner.scan(language, job.code, options.banned ? ['hostile', 'banned'] : ['hostile'], signal)
  if (seen === undefined)
    throw new Fault('SCAN_REFUSED', `it could not be looked through: ${unseen}`, { hint: 'Shorten it, or look at it yourself.' })
  if (options.propose) process.stdout.write(asJson(seen.proposal.profile))
  else await tell(seen, options, signal)
  return seen.findings.length > 0 ? 1 : 0
}

async function tell({ findings, proposal }: Seen, { json, run }: Options, signal: AbortSignal): Promise<void> {
  const { profile, ...intended } = proposal
  const seen = run === undefined ? undefined : await observed(intended, checkedId(run), signal)
  if (json) return void process.stdout.write(asJson({ findings, intended, profile, observed: seen }))
  if (findings.length === 0) process.stdout.write('Nothing hostile was found.\n')
  else {
    const rows = findings.map(({ line, column, rule, what, reason }) => [`${line}:${column}`, rule, reason, what])
    process.stdout.write(table(['PLACE', 'RULE', 'REASON', 'WHAT'], rows))
    for (const hint of new Set(findings.map((finding) => finding.hint))) process.stdout.write(`${hint}\n`)
  }
  const needs = Object.entries(intended).filter(([, values]) => values.length > 0)
  if (needs.length > 0)
    process.stdout.write(
      table(
        ['IT SEEMS TO NEED', ''],
        needs.map(([name, values]) => [name, values.join(' ')]),
      ),
    )
  if (seen !== undefined) process.stdout.write(observedPage(seen, `${run}`))
}

const asJson = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`
