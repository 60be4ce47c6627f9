import { availableParallelism } from 'node:os'
import type { LiveSandbox } from '../../sandbox/life.ts'
import type { Visit } from '../call.ts'
import { sendJson } from '../call.ts'
import { isCaissonClient } from './failures.ts'

const MIB = 1024 * 1024

interface Seen {
  readonly atMs: number
  readonly cpuUsedUs: number
}

/** The previous measurement: CPU usage is a difference. */
const seen = new WeakMap<LiveSandbox, Seen>()

/** GET /metrics. */
export async function measure(visit: Visit): Promise<void> {
  const { live, record } = visit.entered
  const metrics = await live.metrics(visit.signal)
  const atMs = Date.now()
  const { cpuMilli } = record.plan.limits
  const cpus = cpuMilli === null ? availableParallelism() : Math.max(1, Math.ceil(cpuMilli / 1000))
  const last = seen.get(live) ?? { atMs: record.startedMs, cpuUsedUs: 0 }
  seen.set(live, { atMs, cpuUsedUs: metrics.cpuUsedUs })
  const spanUs = Math.max(atMs - last.atMs, 1) * 1000
  const usedPct = Math.min(Math.max(((metrics.cpuUsedUs - last.cpuUsedUs) / spanUs / cpus) * 100, 0), 100)
  const own = isCaissonClient(visit) ? { cpu_used_us: metrics.cpuUsedUs, processes: metrics.processes } : {}
  sendJson(visit.reply, 200, {
    ts: Math.floor(atMs / 1000),
    cpu_count: cpus,
    cpu_used_pct: Math.round(usedPct * 100) / 100,
    mem_total: metrics.memoryTotalBytes,
    mem_used: metrics.memoryUsedBytes,
    mem_cache: metrics.memoryCacheBytes,
    mem_total_mib: Math.floor(metrics.memoryTotalBytes / MIB),
    mem_used_mib: Math.floor(metrics.memoryUsedBytes / MIB),
    disk_used: metrics.diskUsedBytes,
    disk_total: metrics.diskTotalBytes,
    ...own,
  })
}
