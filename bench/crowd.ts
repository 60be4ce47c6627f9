import { readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { BenchDaemon, type Guest } from './daemon.ts'
import type { Row } from './report.ts'
import { series, summary, took } from './statistics.ts'

const CROWD = 2000
const AT_ONCE = 8
const WATCH_MS = 10_000
const TICKS_PER_SECOND = 100

/** A daemon with two thousand idle sandboxes: what it takes, and how long one more takes. */
export async function crowd(rounds: number): Promise<Row[]> {
  await using daemon = await BenchDaemon.open()
  const made: Guest[] = []
  let left = CROWD
  const begun = performance.now()
  const work = async () => {
    for (; left > 0; ) {
      left -= 1
      made.push(await daemon.create())
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  const each = (performance.now() - begun) / CROWD
  await pause(8000)
  const before = await ticks(daemon.pid)
  await pause(WATCH_MS)
  const cpu = (((await ticks(daemon.pid)) - before) / TICKS_PER_SECOND / (WATCH_MS / 1000)) * 100
  const memory = await residentMiB(daemon.pid)
  const one = await series(Math.min(rounds, 30), 3, async () => {
    const ms = await took(async () => {
      const guest = await daemon.create()
      made.push(guest)
      await daemon.code(guest)
    })
    await pause(300)
    return ms
  })
  for (let guest = made.pop(); guest !== undefined; guest = made.pop()) await daemon.end(guest)
  return [
    { what: `each of ${CROWD} creates, ${AT_ONCE} at once`, unit: 'ms', measured: summary([each]) },
    { what: `memory of the daemon with ${CROWD} idle sandboxes`, unit: 'MiB', measured: summary([memory]), aim: 250 },
    { what: 'of one core, idle', unit: '%', measured: summary([cpu]), aim: 2 },
    { what: 'one more, to first output', unit: 'ms', measured: one, aim: 10 },
  ]
}

/** Of user and system (proc_pid_stat(5): fields 14 and 15). */
async function ticks(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? []
  return Number(fields[11]) + Number(fields[12])
}

async function residentMiB(pid: number): Promise<number> {
  return Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
}
