import type { SandboxMetrics } from '@caisson/wire'
import type { AgentConnection } from './connection.ts'
import { bounded } from './entries.ts'
import type { OpenedResult } from './stream.ts'

/** Metrics measured by the agent, inside the sandbox. */
export async function agentMetrics(connection: AgentConnection, signal: AbortSignal): Promise<Omit<SandboxMetrics, 'memoryCacheBytes'>> {
  const stream = connection.open({ case: 'metrics', value: {} }, { what: 'metrics' }, signal)
  const { value } = (await stream.opened) as Extract<OpenedResult, { case: 'metrics' }>
  return {
    memoryUsedBytes: bounded(value.memoryUsedBytes),
    memoryTotalBytes: bounded(value.memoryTotalBytes),
    diskUsedBytes: bounded(value.diskUsedBytes),
    diskTotalBytes: bounded(value.diskTotalBytes),
    cpuUsedUs: bounded(value.cpuUsedUs),
    processes: value.processes,
  }
}
