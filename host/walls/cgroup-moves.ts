import { release } from 'node:os'
import type { Finding } from './wall.ts'

/** The first kernel with the mount option favordynmods (cgroup-v2.rst, mounting). */
const KNOWS_FAVORDYNMODS = 6

/**
 * With cgroup version 2, moving a process into a group waits for an RCU grace period on all CPUs, unless the hierarchy is mounted with favordynmods. A start on
 * demand waits for that once; one from the pool does not. `mountinfo`: proc_pid_mountinfo(5).
 */
export function cgroupMoves(mountinfo: string, kernel = release()): Finding[] {
  if (Number.parseInt(kernel, 10) < KNOWS_FAVORDYNMODS) return []
  const unified = mountinfo.split('\n').find((line) => line.includes(' - cgroup2 '))
  const [left = '', right = ''] = unified?.split(' - ') ?? []
  const [, , , , point = ''] = left.split(' ')
  const options = right.split(' ')[2]?.split(',') ?? []
  const what = 'cgroup moves'
  if (options.includes('favordynmods')) return [{ what, severity: 'fine', detail: 'groups may change often (favordynmods)' }]
  const detail = 'a start on demand takes some 10 ms more, until every processor has rested; nothing else differs'
  return [{ what, severity: 'degraded', detail, mend: `sudo mount -o remount,favordynmods ${point}` }]
}
