import { table } from '../daemon/table.ts'
import type { Difference, Observed } from './observed.ts'

/** For a person: what was done but not announced by the code, announced but not done, and what could not be observed. */
export function observedPage({ hosts, commands, carried, unseen }: Observed, id: string): string {
  const rows = [...rowsOf('host', hosts), ...(commands === null ? [] : rowsOf('command', commands))]
  const told = rows.length === 0 ? [['as the code says', '', '']] : rows
  const moved =
    carried.length === 0
      ? ''
      : table(
          ['CARRIED BY THE CALLER'],
          carried.map((one) => [one]),
        )
  return `${table([`SANDBOX ${id}`, 'WHAT', ''], told)}${moved}${unseen.map((one) => `not observed: ${one}\n`).join('')}`
}

function rowsOf(what: string, { unexpected, unused }: Difference): string[][] {
  return [...unexpected.map((one) => ['did, and does not say', what, one]), ...unused.map((one) => ['says, and did not', what, one])]
}
