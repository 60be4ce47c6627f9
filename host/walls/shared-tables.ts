import { readFile } from 'node:fs/promises'
import type { Finding } from './wall.ts'

/** As native/keeper/src/tally.rs has it: what one sandbox may have at the most, and never more than half of what there is. */
const MOST_OF_ONE = 128
/** For sixty-four sandboxes that take all they may have. */
const ENOUGH = 64 * MOST_OF_ONE
/** linux/capability.h */
const CAP_SYS_RESOURCE = 24n

/** What the kernel counts by user, and sandboxes of one template with a zygote share (docs/threat-model.md). */
export async function sharedTables(): Promise<Finding[]> {
  const read = (path: string) => readFile(path, 'utf8').catch(() => '')
  return [inotify(await read('/proc/sys/fs/inotify/max_user_instances')), ...limits(await read('/proc/self/status'))]
}

/** `text`: what the kernel says of `fs.inotify.max_user_instances`; empty: it has none. */
export function inotify(text: string): Finding {
  const what = 'inotify'
  if (text.trim() === '') return { what, severity: 'degraded', detail: 'this kernel has none: nothing inside can watch files' }
  const instances = Number(text)
  if (instances >= ENOUGH) return { what, severity: 'fine', detail: `${instances} instances for sandboxes of one template` }
  const each = Math.min(MOST_OF_ONE, Math.floor(instances / 2))
  const detail = `sandboxes of one template with a zygote share ${instances} instances, of which one may take ${each}: a few that take all leave the others none`
  return { what, severity: 'degraded', detail, mend: `sudo sysctl -w fs.inotify.max_user_instances=${ENOUGH}` }
}

/** `status`: /proc/self/status of whoever starts keepers. Nothing is said of an ordinary user, whose sandboxes share what he has in any case. */
export function limits(status: string): Finding[] {
  const field = (name: string) => new RegExp(`^${name}:\\s+(\\w+)`, 'm').exec(status)?.[1]
  const effective = BigInt(`0x${field('CapEff') ?? '0'}`)
  if (field('Uid') !== '0' || ((effective >> CAP_SYS_RESOURCE) & 1n) === 1n) return []
  const detail =
    'root may not raise limits here (no CAP_SYS_RESOURCE): sandboxes of one template with a zygote share queued signals, locked memory and message queues'
  return [{ what: 'limits of users', severity: 'degraded', detail }]
}
