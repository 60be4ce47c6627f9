import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ends } from './references.ts'
import type { Row } from './report.ts'
import { series, took } from './statistics.ts'

/** The first command of the README from the shell's view, when everything is set up: start, sandbox, two tables and a chart, and the end of it all. */
export async function command(rounds: number): Promise<Row[]> {
  const [caisson, program] = ['../caisson', '../examples/sales-report.py'].map((path) => fileURLToPath(new URL(path, import.meta.url)))
  const folder = await mkdtemp(join(tmpdir(), 'cai-'))
  try {
    const once = () => took(() => ends(`${caisson}`, ['run', `${program}`], folder))
    const measured = await series(Math.max(3, Math.ceil(rounds / 10)), 1, once)
    return [{ what: './caisson run examples/sales-report.py', unit: 'ms', measured, aim: 1000 }]
  } finally {
    await rm(folder, { recursive: true })
  }
}
