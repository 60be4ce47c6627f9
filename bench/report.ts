import { mkdir, writeFile } from 'node:fs/promises'
import { cpus, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Summary } from './statistics.ts'

/** One row of a benchmark: what was measured, or why it was not. */
export interface Row {
  what: string
  /** Of a rate, the more the better. */
  unit: 'ms' | 'MiB' | '%' | 'MB/s'
  measured: Summary | { skipped: string }
  /** What we aim for at p50 on the machine of docs/promises.md. */
  aim?: number
  /** How many times slower (or larger) than the first row, at p50. */
  ratio?: number
}

export interface Report {
  name: string
  at: string
  machine: { cpu: string; cpus: number; memoryMiB: number; kernel: string; node: string }
  rows: Row[]
}

export function reportOf(name: string, rows: Row[]): Report {
  const [cpu] = cpus()
  const machine = {
    cpu: cpu?.model ?? 'unknown',
    cpus: cpus().length,
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    node: process.version,
  }
  return { name, at: new Date().toISOString(), machine, rows }
}

/** Aligned columns, for a person. */
export function table({ name, machine, rows }: Report): string {
  const cells = [['', 'p50', 'p95', 'min', 'n', 'aim', ''], ...rows.map(columns)]
  const widths = (cells[0] as string[]).map((_, column) => Math.max(...cells.map((row) => (row[column] as string).length)))
  const lines = cells.map((row) =>
    row
      .map((cell, column) => pad(cell, widths[column] as number, column))
      .join('  ')
      .trimEnd(),
  )
  return [`${name}: ${machine.cpus} x ${machine.cpu}, Linux ${machine.kernel}, Node ${machine.node}`, ...lines, ''].join('\n')
}

/** Keeps the report beside the others of this machine; they are not part of the repository. */
export async function keep(report: Report): Promise<string> {
  const folder = fileURLToPath(new URL('../bench/results/', import.meta.url))
  await mkdir(folder, { recursive: true })
  const path = `${folder}${report.name}-${report.at.replace(/[:.]/g, '-')}.json`
  await writeFile(path, `${JSON.stringify(report, null, 2)}\n`)
  return path
}

function columns(row: Row): string[] {
  const { measured } = row
  if ('skipped' in measured) return [row.what, '-', '-', '-', '', '', measured.skipped]
  const number = (value: number) => `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${row.unit}`
  const ratio = row.ratio === undefined ? '' : `${row.ratio.toFixed(1)} x`
  const isMet = row.aim !== undefined && (row.unit === 'MB/s' ? measured.p50 >= row.aim : measured.p50 <= row.aim)
  const aim = row.aim === undefined ? '' : `${isMet ? '✓' : '✗'} ${row.aim} ${row.unit}`
  return [row.what, number(measured.p50), number(measured.p95), number(measured.min), String(measured.n), aim, ratio]
}

function pad(cell: string, width: number, column: number): string {
  return column === 0 || column === 6 ? cell.padEnd(width) : cell.padStart(width)
}
