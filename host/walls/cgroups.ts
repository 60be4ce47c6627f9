import { readFileSync } from 'node:fs'
import { readFile, rmdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

/** Where keepers create their cgroups: the same places as in native/keeper/src/cgroup.rs. */
export interface Hierarchy {
  version: 1 | 2
  /** Those of memory, pids, cpu, cpuacct and freezer that it has. */
  controllers: string[]
  /** The folder in which each sandbox has its own group. */
  parent: string
}

const CONTROLLERS = ['memory', 'pids', 'cpu', 'cpuacct', 'freezer']
const ATTEMPTS = 100
const BETWEEN_MS = 10

/** proc_pid_mountinfo(5). */
export function hierarchies(uid: number): Hierarchy[] {
  const found: Hierarchy[] = []
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [left = '', right = ''] = line.split(' - ')
    const point = left.split(' ')[4] ?? ''
    const [kind, , options = ''] = right.split(' ')
    if (kind === 'cgroup') {
      const controllers = CONTROLLERS.filter((name) => options.split(',').includes(name))
      if (controllers.length > 0) found.push({ version: 1, controllers, parent: join(point, uid === 0 ? 'caisson' : `caisson-${uid}`) })
    } else if (kind === 'cgroup2') {
      const offered = text(join(point, 'cgroup.controllers')).split(/\s+/)
      // Version 2 can freeze without a controller.
      const controllers = CONTROLLERS.filter((name) => offered.includes(name) || name === 'freezer')
      found.push({ version: 2, controllers, parent: join(uid === 0 ? point : delegated(point), 'caisson') })
    }
  }
  return found
}

/** Kills what is left in the cgroups of this id, frozen or not, and removes them. The id is unique to this sandbox. */
export async function sweepCgroups(id: string, uid: number, signal: AbortSignal): Promise<void> {
  const groups = hierarchies(uid).map(({ parent }) => join(parent, id))
  for (const group of groups) await killAll(group)
  // Version 1 delivers the signal only after a thaw. Nothing inside runs between the thaw and its end.
  for (const group of groups) await thaw(join(group, 'freezer.state'))
  for (const group of groups) await remove(group, signal)
}

async function thaw(state: string): Promise<void> {
  await writeFile(state, 'THAWED', { flag: 'r+' }).catch((error: NodeJS.ErrnoException) => {
    // Gone already, or removed after it was opened.
    if (error.code !== 'ENOENT' && error.code !== 'ENODEV') throw error
  })
}

async function killAll(dir: string): Promise<void> {
  const pids = await readFile(join(dir, 'cgroup.procs'), 'utf8').catch(() => '')
  for (const pid of pids.split('\n').filter((line) => line !== '')) kill(Number(pid))
}

async function remove(dir: string, signal: AbortSignal): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    await killAll(dir)
    try {
      return await rmdir(dir)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (code === 'ENOENT') return
      if (code !== 'EBUSY' || attempt === ATTEMPTS - 1) throw error
    }
    // The kernel takes its time to tear the last process down, and does not report when it is done.
    await pause(BETWEEN_MS, undefined, { signal })
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function delegated(point: string): string {
  const own = text('/proc/self/cgroup')
    .split('\n')
    .find((line) => line.startsWith('0::/'))
  return dirname(join(point, (own ?? '0::/x').slice('0::/'.length)))
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}
