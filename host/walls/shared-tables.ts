import { readFile } from 'node:fs/promises'
import type { Finding } from './wall.ts'

/** As in native/keeper/src/tally.rs: what one sandbox may have at most; never more than half of the total. */
const MOST_OF_ONE = 128
/** Enough for 64 sandboxes that use their maximum. */
const ENOUGH = 64 * MOST_OF_ONE
/** linux/capability.h */
const CAP_SYS_RESOURCE = 24n

/** Kernel limits that are counted per user, and so shared by all sandboxes of one template with a zygote (docs/threat-model.md). */
export async function sharedTables(): Promise<Finding[]> {
  const read = (path: string) => readFile(path, 'utf8').catch(() => '')
  return [inotify(await read('/proc/sys/fs/inotify/max_user_instances')), ...limits(await read('/proc/self/status'))]
}

/** `text`: content of `fs.inotify.max_user_instances`; empty: the kernel has no inotify. */
export function inotify(text: string): Finding {
  const what = 'inotify'
  if (text.trim() === '') return { what, severity: 'degraded', detail: 'this kernel has none: nothing inside can watch files' }
  const instances = Number(text)
  if (instances >= ENOUGH) return { what, severity: 'fine', detail: `${instances} instances for sandboxes of one template` }
  const each = Math.min(MOST_OF_ONE, Math.floor(instances / 2))
  const detail = `sandboxes of one template with a zygote share ${instances} instances, of which one may take ${each}: a few that take all leave the others none`
  return { what, severity: 'degraded', detail, mend: `sudo sysctl -w fs.inotify.max_user_instances=${ENOUGH}` }
}

/** `status`: /proc/self/status of the process that starts keepers. No finding for an ordinary user, whose sandboxes share that user's limits in any case. */
export function limits(status: string): Finding[] {
  const field = (name: string) => new RegExp(`^${name}:\\s+(\\w+)`, 'm').exec(status)?.[1]
  const effective = BigInt(`0x${field('CapEff') ?? '0'}`)
  if (field('Uid') !== '0' || ((effective >> CAP_SYS_RESOURCE) & 1n) === 1n) return []
  const detail =
    'root may not raise limits here (no CAP_SYS_RESOURCE): sandboxes of one template with a zygote share queued signals, locked memory and message queues'
  return [{ what: 'limits of users', severity: 'degraded', detail }]
}
