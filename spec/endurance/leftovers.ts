import { readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'

/** What new disks are copied from stays for the next one (host/sandbox/disk.ts). */
const EMPTY_DISK = /^ext4-\d+-\d+\.img$/

/** What sandboxes of one state folder, of which `ids` were some, have left on this machine. One look at everything, whatever the number of ids. */
export async function leftovers(home: string, ids: ReadonlySet<string>): Promise<string[]> {
  const left: string[] = []
  const isOurs = (text: string) => text.includes(home) || [...text.matchAll(/\bi[a-z0-9]{19}\b/g)].some(([id]) => ids.has(id))
  for (const pid of await numbers('/proc')) {
    const command = (await text(`/proc/${pid}/cmdline`)).replaceAll('\0', ' ')
    if (isOurs(command)) left.push(`process ${pid}: ${command}`)
    if (isOurs(await text(`/proc/${pid}/cgroup`))) left.push(`process ${pid} in a cgroup of ours: ${command}`)
    if (pid !== String(process.pid) && (await text(`/proc/${pid}/mountinfo`)).includes(home))
      left.push(`mounts in the namespace of ${pid}: ${command}`)
  }
  if ((await text('/proc/self/mountinfo')).includes(home)) left.push('mounts on this machine')
  // Version 1 has a folder for each controller; version 2, where it is alone, has none.
  for (const controller of ['.', ...(await readdir('/sys/fs/cgroup'))]) {
    for (const parent of await names(join('/sys/fs/cgroup', controller))) {
      if (!parent.startsWith('caisson')) continue
      for (const group of await names(join('/sys/fs/cgroup', controller, parent)))
        if (ids.has(group)) left.push(`cgroup ${controller}/${parent}/${group}`)
    }
  }
  for (const name of (await readdir('/sys/block')).filter((device) => device.startsWith('loop'))) {
    if ((await text(`/sys/block/${name}/loop/backing_file`)).includes(home)) left.push(`loop device ${name}`)
  }
  for (const folder of ['sandboxes', 'disks', 'kept', 'snapshots']) {
    for (const name of await names(join(home, folder))) if (!EMPTY_DISK.test(name)) left.push(`${folder}/${name}`)
  }
  return left
}

/** How many descriptors a process has, by what they are. */
export async function descriptors(pid: number): Promise<number> {
  const open = await Promise.all((await names(`/proc/${pid}/fd`)).map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')))
  return open.filter((target) => target !== '').length
}

async function numbers(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => /^\d+$/.test(name))
}

async function names(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => [])
}

/** Empty when it is not there any more: processes come and go meanwhile. */
async function text(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '')
}
