import { readdir, readFile } from 'node:fs/promises'
import { setTimeout } from 'node:timers/promises'
import { Sandbox } from 'caisson'
import type { Row } from './report.ts'
import { summary } from './statistics.ts'

const SANDBOXES_PER_ROUND = 5
const AIM_MIB = 4
/** Created at once; more only wait for each other. */
const AT_ONCE = 4
const SETTLE_MS = 3000

/** Memory of idle sandboxes, each with a warm Python: keeper, agent and interpreter together. A first run touches pages that were shared until then. */
export async function density(rounds: number): Promise<Row[]> {
  const count = rounds * SANDBOXES_PER_ROUND
  // The zygote is shared by all and stays: it does not count.
  await (await made()).kill()
  const before = { processes: new Set(await processes()), availableMiB: await availableMiB(), ownMiB: ownMiB() }
  const sandboxes: Sandbox[] = []
  const rows = async (state: string, aim: { aim?: number }): Promise<Row[]> => {
    await setTimeout(SETTLE_MS)
    const ours = (await processes()).filter((pid) => !before.processes.has(pid))
    let pssMiB = 0
    for (const pid of ours) pssMiB += await proportionalMiB(pid)
    const row = (what: string, all: number): Row => ({ what, unit: 'MiB', measured: summary([all / count]) })
    return [
      { ...row(`PSS of each of ${count} sandboxes (${ours.length} processes), ${state}`, pssMiB), ...aim },
      row('  loss of MemAvailable, each', before.availableMiB - (await availableMiB())),
      row('  of which the host process, each', ownMiB() - before.ownMiB),
    ]
  }
  try {
    while (sandboxes.length < count) {
      const batch = Array.from({ length: Math.min(AT_ONCE, count - sandboxes.length) }, made)
      for (const settled of await Promise.allSettled(batch)) {
        if (settled.status === 'rejected') throw settled.reason
        sandboxes.push(settled.value)
      }
    }
    const idle = await rows('idle', { aim: AIM_MIB })
    for (const sandbox of sandboxes) {
      const { text } = await sandbox.runCode('1+1')
      if (text !== '2') throw new Error(`1+1 was ${text}`)
    }
    return [...idle, ...(await rows('idle again after a first run', {}))]
  } finally {
    for (let at = 0; at < sandboxes.length; at += AT_ONCE)
      await Promise.all(sandboxes.slice(at, at + AT_ONCE).map((sandbox) => sandbox.kill()))
  }
}

function made(): Promise<Sandbox> {
  return Sandbox.create({ profile: 'code-interpreter', wall: 'container', timeoutMs: null })
}

function ownMiB(): number {
  return process.memoryUsage.rss() / 2 ** 20
}

/** Keepers, and whatever lives in a process namespace below ours. */
export async function processes(): Promise<number[]> {
  const found: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const status = await gone(readFile(`/proc/${name}/status`, 'utf8'))
    if (/^NSpid:\t\d+\t\d/m.test(status) || /^Name:\tcaisson-/m.test(status)) found.push(Number(name))
  }
  return found
}

export async function proportionalMiB(pid: number): Promise<number> {
  const rollup = await gone(readFile(`/proc/${pid}/smaps_rollup`, 'utf8'))
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) / 1024
}

export async function availableMiB(): Promise<number> {
  return Number(/^MemAvailable:\s+(\d+) kB/m.exec(await readFile('/proc/meminfo', 'utf8'))?.[1]) / 1024
}

/** A process may end between two looks at it. */
async function gone(reading: Promise<string>): Promise<string> {
  try {
    return await reading
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ESRCH') return ''
    throw error
  }
}
