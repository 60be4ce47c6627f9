import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ends } from './references.ts'
import type { Row } from './report.ts'
import { series, summary, took } from './statistics.ts'

const AIM_ADDED_MS = 150

/** `npm test` in a folder of its own, as anybody runs it, and with `--profile project`; by turns, since npm alone moves with the machine. */
export async function project(rounds: number): Promise<Row[]> {
  const caisson = fileURLToPath(new URL('../caisson', import.meta.url))
  // The profile shows no folder of which another holds secrets; below the home of whoever measures there may be such a one.
  const folder = await mkdtemp(join('/var/tmp', 'cai-'))
  try {
    const test = "require('node:test')('adds', () => require('node:assert').equal(1 + 1, 2))"
    await writeFile(join(folder, 'sum.test.js'), `${test}\n`)
    await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'app', private: true, scripts: { test: 'node --test' } }))
    const count = Math.max(5, Math.ceil(rounds / 5))
    const alone: number[] = []
    const walled = await series(count, 1, async () => {
      alone.push(await took(() => ends('npm', ['test'], folder)))
      return took(() => ends(caisson, ['run', '--profile', 'project', '--', 'npm', 'test'], folder))
    })
    const plain = summary(alone.slice(1))
    const less = (part: 'min' | 'p50' | 'p95' | 'max') => walled[part] - plain[part]
    const added = { n: count, min: less('min'), p50: less('p50'), p95: less('p95'), max: less('max') }
    return [
      { what: 'npm test, without a wall', unit: 'ms', measured: plain },
      { what: 'caisson run --profile project -- npm test', unit: 'ms', measured: walled, ratio: walled.p50 / plain.p50 },
      { what: 'added', unit: 'ms', measured: added, aim: AIM_ADDED_MS },
    ]
  } finally {
    await rm(folder, { recursive: true })
  }
}
