import { readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'

export type Kind = 'process' | 'cgroup' | 'mount' | 'loop device' | 'network namespace' | 'state' | 'ids'

/** What of one sandbox is to be found on this machine, by kind. */
export class Traces {
  readonly #home: string
  readonly #id: string
  /** Told apart while it lives; looked for afterwards. */
  readonly #networks = new Set<string>()
  readonly #ranges = new Set<string>()

  constructor(home: string, id: string) {
    this.#home = home
    this.#id = id
  }

  async find(): Promise<Map<Kind, string[]>> {
    const found = new Map<Kind, string[]>()
    const add = (kind: Kind, what: string) => found.set(kind, [...(found.get(kind) ?? []), what])
    const loops: string[] = []
    for (const name of (await readdir('/sys/block')).filter((device) => device.startsWith('loop'))) {
      if ((await text(`/sys/block/${name}/loop/backing_file`)).includes(this.#id)) loops.push(name)
    }
    for (const name of loops) add('loop device', name)
    for (const pid of await numbers('/proc')) {
      const groups = await text(`/proc/${pid}/cgroup`)
      const network = await readlink(`/proc/${pid}/ns/net`).catch(() => '')
      const inside = groups.includes(this.#id)
      if (inside) {
        add('process', `${pid} ${(await text(`/proc/${pid}/cmdline`)).replaceAll('\0', ' ')}`)
        if (network !== '') this.#networks.add(network)
        await this.#note(pid)
      } else if ((await text(`/proc/${pid}/cmdline`)).includes(this.#id)) add('process', pid)
      // A number is given again when its namespace is gone: what is in another sandbox's control group is that one's.
      const isAnothers = !inside && /\/caisson[^/]*\/\w/.test(groups)
      if (this.#networks.has(network) && !isAnothers) add('network namespace', `${network} of ${pid}`)
      const mounts = await text(`/proc/${pid}/mountinfo`)
      if (mounts.includes(this.#id) || loops.some((name) => mounts.includes(` /dev/${name} `))) add('mount', `in the namespace of ${pid}`)
    }
    // Version 1 has a folder for each controller; version 2, where it is alone, has none.
    for (const controller of ['.', ...(await readdir('/sys/fs/cgroup'))]) {
      const parents = (await readdir(join('/sys/fs/cgroup', controller)).catch((): string[] => [])).filter((name) =>
        name.startsWith('caisson'),
      )
      for (const parent of parents) {
        const groups = await readdir(join('/sys/fs/cgroup', controller, parent)).catch((): string[] => [])
        if (groups.includes(this.#id)) add('cgroup', `${controller}/${parent}/${this.#id}`)
      }
    }
    for (const folder of ['sandboxes', 'deaths']) {
      for (const name of await readdir(join(this.#home, folder)).catch((): string[] => []))
        if (name.startsWith(this.#id)) add('state', `${folder}/${name}`)
    }
    for (const number of await readdir('/run/caisson/ids').catch((): string[] => [])) if (this.#ranges.has(number)) add('ids', number)
    return found
  }

  /** Processor time that its control groups have counted so far. */
  async cpuUs(): Promise<number> {
    for (const group of (await this.find()).get('cgroup') ?? []) {
      const nanoseconds = await text(`/sys/fs/cgroup/${group}/cpuacct.usage`)
      if (nanoseconds !== '') return Number(nanoseconds) / 1000
      const microseconds = /^usage_usec (\d+)$/m.exec(await text(`/sys/fs/cgroup/${group}/cpu.stat`))?.[1]
      if (microseconds !== undefined) return Number(microseconds)
    }
    throw new Error(`no control group of ${this.#id} counts processor time`)
  }

  /** The range of host ids, from the map of a process inside. */
  async #note(pid: string): Promise<void> {
    const [, first] = (await text(`/proc/${pid}/uid_map`)).trim().split(/\s+/)
    if (first !== undefined && Number(first) >= FIRST_UID) this.#ranges.add(String((Number(first) - FIRST_UID) / RANGE))
  }
}

/** native/keeper/src/ids.rs */
const FIRST_UID = 1_900_000_000
const RANGE = 65_536

async function numbers(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => /^\d+$/.test(name))
}

/** Empty when it is not there any more: processes come and go meanwhile. */
async function text(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '')
}
