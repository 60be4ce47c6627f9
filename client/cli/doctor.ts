import { Fault, WALLS, type WallName, wallNamed } from '@caisson/wire'
import { acquireDoor, type DoctorReport, doctorOf } from '../embedded.ts'
import { mended } from './doctor/mended.ts'
import { oneLine } from './ending.ts'
import { fitted, parsed, verbParser } from './parsing.ts'
import { Interrupts } from './run/interrupts.ts'

const EXAMPLES = `
Each wall is started and measured. Exits with 1 if no sandbox can be created here. A missing wall is no reason for that, unless --wall names it.

Examples:
  caisson doctor
  caisson doctor --wall container     of this one alone, in a second
  caisson doctor --json
  sudo caisson doctor --fix     runs the commands that mend what is missing, then looks again`

/** Tests what this machine can do, and says how to fix the rest. */
export async function doctor(argv: readonly string[]): Promise<number> {
  const command = verbParser('doctor')
    .usage('[options]')
    .description('Checks this machine, and names one command for each problem that it can fix.')
    .option('--wall <name>', `only this wall: ${WALLS.join(', ')}`, wallNamed)
    .option('--json', 'print the findings as JSON', false)
    .option('--fix', 'run the commands that fix it; needs root', false)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const { json, fix, wall }: { json: boolean; fix: boolean; wall?: WallName } = command.opts()
  if (fix && process.getuid?.() !== 0)
    throw new Fault('BAD_REQUEST', '--fix: only root may mend this machine', { hint: 'Say sudo caisson doctor --fix.' })
  using interrupts = new Interrupts()
  try {
    const report = await examined(wall, fix, interrupts.signal)
    process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : page(report))
    return sound(report) ? 0 : 1
  } catch (failure) {
    if (interrupts.exitCode !== undefined) return interrupts.exitCode
    throw failure
  }
}

async function examined(wall: WallName | undefined, fix: boolean, signal: AbortSignal): Promise<DoctorReport> {
  const { door, release } = await acquireDoor(signal)
  try {
    const report = await asked(door, wall, signal)
    return fix && (await mended(report)) ? await asked(door, wall, signal) : report
  } finally {
    await release()
  }
}

/** Rejects if interrupted: a partial report calls untested items missing, and must not be used for repairs. */
async function asked(...[door, wall, signal]: Parameters<typeof doctorOf>): Promise<DoctorReport> {
  const report = await doctorOf(door, wall, signal)
  signal.throwIfAborted()
  return report
}

/** The wall of the default profile. */
const USUAL_WALL = 'container'

/** Whether sandboxes work with the limits of the default profile: behind its wall, or behind the only one that was asked about. */
export function sound(report: DoctorReport): boolean {
  return (
    report.walls.some(({ name, trial }) => (name === USUAL_WALL || report.walls.length === 1) && trial.ok) &&
    report.templates.every(({ problem }) => problem === undefined)
  )
}

type Mark = '✓' | '~' | '✗'
interface Line {
  mark: Mark
  what: string
  detail: string
  mend?: string | undefined
}

const MARKS = { fine: '✓', degraded: '~', missing: '✗' } as const

/** The report for a person: what is available and, below each missing item, the command that fixes it. */
export function page(report: DoctorReport): string {
  const walls = report.walls.map(({ name, findings, trial, checks }) => {
    const lines: Line[] = findings.map(({ severity, what, detail, mend }) => ({ mark: MARKS[severity], what, detail, mend }))
    return `${block(`wall ${name}`, [...lines, trialLine(trial)])}${block('  the seven checks', checks.map(checkLine))}`
  })
  const templates = report.templates.map(({ name, languages, problem }): Line => {
    return problem === undefined ? { mark: '✓', what: name, detail: languages.join(', ') } : { mark: '✗', what: name, detail: problem }
  })
  const there = report.walls.filter(({ trial }) => trial.ok).map(({ name }) => name)
  const verdict = sound(report)
    ? `Sandboxes work on this machine. Walls: ${there.join(', ')}.`
    : 'Something is missing: see above for the commands that fix it.'
  const opened =
    report.allowPrivate.length === 0 ? [] : [`sandboxes may be let reach (CAISSON_ALLOW_PRIVATE) ${report.allowPrivate.join(', ')}`]
  const { count, bytes, freeBytes } = report.snapshots
  const kept = count === 0 ? [] : [`snapshots ${count}: ${mib(bytes)} of the disk, where ${mib(freeBytes)} are left`]
  return [...walls, block('templates', templates), `state folder ${report.home}`, ...kept, ...opened, '', verdict, ''].join('\n')
}

function mib(bytes: number): string {
  return `${Math.ceil(bytes / (1024 * 1024))} MiB`
}

function trialLine(trial: DoctorReport['walls'][number]['trial']): Line {
  if (!trial.ok) return { mark: '✗', what: 'a trial', detail: `${trial.code}: ${trial.message}. ${trial.hint}` }
  const detail = `made in ${trial.createMs.toFixed(1)} ms, a command in ${trial.commandMs.toFixed(1)} ms, with every limit of the default profile`
  return { mark: '✓', what: 'a trial', detail }
}

function checkLine({ check, state, evidence }: DoctorReport['walls'][number]['checks'][number]): Line {
  const said = { proven: 'proven just now', promised: 'promised', unavailable: 'not available' }[state]
  return { mark: ({ proven: '✓', promised: '~', unavailable: '✗' } as const)[state], what: check, detail: `${said}: ${evidence}` }
}

function block(title: string, lines: readonly Line[]): string {
  const width = Math.max(...lines.map(({ what }) => what.length))
  const rows = lines.flatMap(({ mark, what, detail, mend }) => {
    const row = `  ${mark} ${what.padEnd(width)}  ${oneLine(detail)}`
    return mend === undefined || mark === '✓' ? [row] : [row, `    ${' '.repeat(width)}  fix: ${mend}`]
  })
  return [title, ...rows, ''].join('\n')
}
