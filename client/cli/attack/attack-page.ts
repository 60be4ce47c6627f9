import { isHeld, type SignedReport, type Tried, type WallReport } from '../../attacks/report.ts'
import { oneLine } from '../ending.ts'

/** The report for a person: a line for each attack, and each way that was not contained or not shown to work. */
export function attackPage({ report, key }: SignedReport): string {
  const { walls, contained, profile, machine, only } = report
  const which = only === null ? '' : `, only attacks named ${only.map((text) => `"${oneLine(text)}"`).join(' or ')}`
  const verdict = contained ? 'Everything was contained.' : 'NOT EVERYTHING WAS CONTAINED: see above.'
  const signed = `signed with the key ${key.slice(0, 16)} (caisson audit key); --json has the signature`
  return [
    `profile ${profile}, Linux ${machine.kernel}, ${machine.architecture}${which}`,
    ...walls.map(wallBlock),
    verdict,
    signed,
    '',
  ].join('\n')
}

function wallBlock({ wall, unavailable, tried }: WallReport): string {
  if (unavailable !== null) return `wall ${wall}\n  - not available here: ${oneLine(unavailable)}\n`
  const width = Math.max(0, ...tried.map(({ attack, user }) => attack.length + user.length + 3))
  const ways = tried.flatMap(({ ways }) => ways)
  const count = (within: string) => ways.filter((one) => one.within === within).length
  const sum = `  ${ways.length} ways: ${count('contained')} contained, ${count('own kernel')} answered by the sandbox's own kernel, ${count('escaped')} escaped, ${count('broken')} broken`
  return [`wall ${wall}`, ...tried.flatMap((one) => rows(one, width)), sum, ''].join('\n')
}

function rows(tried: Tried, width: number): string[] {
  const { attack, user, ways, damage } = tried
  const missing = ways.filter(({ without }) => without === 'missing').length
  const note = missing === 0 ? '' : `, ${missing} that this kernel does not have`
  const row = `  ${isHeld(tried) ? '✓' : '✗'} ${`${attack} (${user})`.padEnd(width)}  ${ways.length} ways${note}`
  const wrong = ways.filter(({ within, without }) => !['contained', 'own kernel'].includes(within) || without === 'failed')
  const lines = wrong.map(({ way, without, within, reason }) => {
    const what =
      without === 'failed' && within !== 'escaped' ? 'not shown: it does not work here without the wall either' : within.toUpperCase()
    return `      ${what}: ${oneLine(way)}: ${oneLine(reason)}`
  })
  return [row, ...lines, ...(damage === null ? [] : [`      DAMAGE: ${oneLine(damage)}`])]
}
