import { oneLine } from '../ending.ts'

/** Rows below headings, each column as wide as its widest cell. Untrusted text cannot break out of its line. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows.map((row) => row.map(oneLine))]
  const widths = headings.map((_, column) => Math.max(...all.map((row) => [...(row[column] ?? '')].length)))
  return all
    .map(
      (row) =>
        `${row
          .map((cell, column) => padded(cell, widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}

function padded(cell: string, width: number): string {
  return `${cell}${' '.repeat(Math.max(0, width - [...cell].length))}`
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const

/** A duration in its largest unit. */
export function span(milliseconds: number): string {
  const [name, unit] = UNITS.find(([, ms]) => milliseconds >= ms) ?? (['s', 1000] as const)
  return `${Math.max(0, Math.floor(milliseconds / unit))}${name}`
}
