import { parseArgs } from 'node:util'
import { keep, type Row, reportOf, table } from './report.ts'
import * as shelf from './shelf.ts'

/** Reached through `caisson bench`: [NAME...] [--rounds N] [--only PART] [--json]. */
async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { rounds: { type: 'string', default: '100' }, only: { type: 'string' }, json: { type: 'boolean', default: false } },
  })
  const benchmarks: Record<string, (rounds: number, only?: string) => Promise<Row[]>> = shelf
  for (const name of positionals.length === 0 ? Object.keys(benchmarks) : positionals) {
    const benchmark = benchmarks[name]
    if (benchmark === undefined) throw new Error(`no benchmark ${JSON.stringify(name)}; there are: ${Object.keys(benchmarks).join(', ')}`)
    const report = reportOf(name, await benchmark(Number(values.rounds), values.only))
    const path = await keep(report)
    process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : `${table(report)}(${path})\n`)
  }
}

await main()
