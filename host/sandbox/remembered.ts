import type { Plan } from '@caisson/wire'
import { unusable } from './asleep.ts'
import type { Given } from './given.ts'
import type { LifeParts } from './life-parts.ts'
import type { ContextRecord } from './record.ts'

/** What a sandbox goes on from that was another's: memory and disk of one moment, in a folder of the host. */
export interface Remembered {
  readonly folder: string
  /** For messages. */
  readonly whose: string
  /** Of that other one, as it was then. */
  readonly plan: Plan
  readonly contexts: readonly ContextRecord[]
  /** Rejects with MEMORY_UNUSABLE when it is not what was written, or was written with something else than this plan has. */
  refuseUnfit(plan: Plan, signal: AbortSignal): Promise<void>
}

/** The same sandbox, to go on from there. Rejects with MEMORY_UNUSABLE when it is to be another than can be had from that memory. */
export async function remembering(plan: Plan, remembered: Remembered, signal: AbortSignal): Promise<Plan> {
  const { folder, whose } = remembered
  const [before, now] = [inMemory(remembered.plan), inMemory(plan)]
  const differs = Object.keys(now).find((name) => before[name] !== now[name])
  if (differs !== undefined) throw unusable(whose, `it was written with another ${differs} (${before[differs]}, not ${now[differs]})`)
  await remembered.refuseUnfit(plan, signal)
  return plan.engine === null ? plan : { ...plan, engine: { ...plan.engine, warm: { op: 'restore', folder, pid: null } } }
}

/** Those that it has from the start. */
export function contextsBefore({ remembered, contexts = [] }: Given): Partial<Pick<LifeParts, 'adopted' | 'kept' | 'renews'>> {
  return remembered === undefined ? { kept: contexts } : { adopted: remembered.contexts, renews: true }
}

/** What its kernel and its agent were told once, and hold to. */
function inMemory({ wall, template, machine, disk, network, limits, user, writable, files, ...rights }: Plan): Record<string, string> {
  return {
    wall,
    template,
    'size of memory': `${machine?.memoryBytes} bytes`,
    'limit of memory': `${limits.memoryBytes} bytes`,
    'number of processors': `${machine?.cpus}`,
    'number of processes': `${limits.pids}`,
    'number of open files': `${limits.openFiles}`,
    'answer to a limit': limits.onHit,
    'size of disk': `${disk.bytes} bytes`,
    network: network.mode === 'none' ? 'none' : 'some',
    user: `${user.name} ${user.uid}`,
    'list of folders': writable.map(({ target }) => target).join(' '),
    'list of files': files.map(({ path }) => path).join(' '),
    'list of rights': [...rights.capabilities, ...(rights.noNewPrivileges ? ['no new ones'] : [])].join(' '),
  }
}
