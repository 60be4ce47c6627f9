import { release } from 'node:os'
import type { Finding } from './wall.ts'

/** The first kernel that knows the option (cgroup-v2.rst, mounting). */
const KNOWS_FAVORDYNMODS = 6

/**
 * Where version 2 of control groups limits sandboxes, whoever moves into a group waits until every processor has come to rest, unless the machine is told that
 * groups change often here. A start on demand waits for that once; one from the pool does not. `mountinfo`: proc_pid_mountinfo(5).
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
