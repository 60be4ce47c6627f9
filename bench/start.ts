import { Sandbox } from 'caisson'
import { REFERENCES } from './references.ts'
import type { Row } from './report.ts'
import { series, took } from './statistics.ts'

const AIM_MS = 20
/** A host makes sandboxes all day: by then Node has compiled what it runs often. What comes before is not counted. */
const WARM_UP = 30

/** From the request to the first output, with pandas at hand and every limit set; beside what others do for the same. */
export async function start(rounds: number): Promise<Row[]> {
  const ours = await series(rounds, WARM_UP, firstOutput)
  const rows: Row[] = [{ what: 'Sandbox.create to first output', unit: 'ms', measured: ours, aim: AIM_MS }]
  rows.push({ what: '  and pandas, matplotlib imported', unit: 'ms', measured: await series(rounds, 1, firstImport) })
  for (const reference of REFERENCES) {
    const missing = await reference.missing()
    if (missing !== undefined) rows.push({ what: reference.what, unit: 'ms', measured: { skipped: missing } })
    else {
      const measured = await series(Math.max(3, Math.ceil(rounds / 10)), 1, () => took(() => reference.run()))
      rows.push({ what: reference.what, unit: 'ms', measured, ratio: measured.p50 / ours.p50 })
    }
  }
  return rows
}

function firstOutput(): Promise<number> {
  return untilSaid('print("here")')
}

function firstImport(): Promise<number> {
  return untilSaid('import pandas, matplotlib.pyplot; print("here")')
}

/** The end of the sandbox is not part of it. */
async function untilSaid(code: string): Promise<number> {
  const begun = performance.now()
  await using sandbox = await Sandbox.create({ profile: 'code-interpreter', wall: 'container' })
  let said: number | undefined
  const { error } = await sandbox.runCode(code, {
    onStdout: () => {
      said ??= performance.now() - begun
    },
  })
  if (said === undefined) throw new Error(`no output came: ${error?.traceback ?? 'and no error'}`)
  return said
}
