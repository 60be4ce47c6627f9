import { acquireDoor, type DoctorReport, doctorOf } from '../embedded.ts'
import { oneLine } from './ending.ts'
import { parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
Ends with 1 when sandboxes cannot be had here.

Examples:
  caisson doctor
  caisson doctor --json`

/** Tries what this machine can do, and says what mends the rest. */
export async function doctor(argv: readonly string[]): Promise<number> {
  const command = verbParser('doctor')
    .usage('[options]')
    .description('Says what this machine has and lacks, each with the one command that mends it.')
    .option('--json', 'print the findings as JSON', false)
    .addHelpText('after', EXAMPLES)
  if (!parsed(command, argv)) return 0
  const { json }: { json: boolean } = command.opts()
  const signal = new AbortController().signal
  const { door, release } = await acquireDoor(signal)
  try {
    const report = await doctorOf(door, signal)
    process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : page(report))
    return sound(report) ? 0 : 1
  } finally {
    await release()
  }
}

/** Whether `caisson run` works here with the limits of the default profile. */
export function sound(report: DoctorReport): boolean {
  return report.walls.every(({ trial }) => trial.ok) && report.templates.every(({ problem }) => problem === undefined)
}

type Mark = '✓' | '~' | '✗'
interface Line {
  mark: Mark
  what: string
  detail: string
  mend?: string | undefined
}

const MARKS = { fine: '✓', degraded: '~', missing: '✗' } as const

/** The report for a person: what there is, and below each thing that is missing the command that mends it. */
export function page(report: DoctorReport): string {
  const walls = report.walls.map(({ name, findings, trial }) => {
    const lines: Line[] = findings.map(({ severity, what, detail, mend }) => ({ mark: MARKS[severity], what, detail, mend }))
    return block(`wall ${name}`, [...lines, trialLine(trial)])
  })
  const templates = report.templates.map(({ name, languages, problem }): Line => {
    return problem === undefined ? { mark: '✓', what: name, detail: languages.join(', ') } : { mark: '✗', what: name, detail: problem }
  })
  const opened =
    report.allowPrivate.length === 0 ? [] : [`sandboxes may be let reach (CAISSON_ALLOW_PRIVATE) ${report.allowPrivate.join(', ')}`]
  const verdict = sound(report) ? 'Sandboxes can be had here.' : 'Something is missing: see above for what mends it.'
  return [...walls, block('templates', templates), `state folder ${report.home}`, ...opened, '', verdict, ''].join('\n')
}

function trialLine(trial: DoctorReport['walls'][number]['trial']): Line {
  if (!trial.ok) return { mark: '✗', what: 'a trial', detail: `${trial.code}: ${trial.message}. ${trial.hint}` }
  const detail = `made in ${trial.createMs.toFixed(1)} ms, a command in ${trial.commandMs.toFixed(1)} ms, with every limit of the default profile`
  return { mark: '✓', what: 'a trial', detail }
}

function block(title: string, lines: readonly Line[]): string {
  const width = Math.max(...lines.map(({ what }) => what.length))
  const rows = lines.flatMap(({ mark, what, detail, mend }) => {
    const row = `  ${mark} ${what.padEnd(width)}  ${oneLine(detail)}`
    return mend === undefined || mark === '✓' ? [row] : [row, `    ${' '.repeat(width)}  mend it: ${mend}`]
  })
  return [title, ...rows, ''].join('\n')
}
