import type { Plan } from '@caisson/wire'
import { unusable } from './asleep.ts'
import type { Given } from './given.ts'
import type { LifeParts } from './life-parts.ts'
import type { ContextRecord } from './record.ts'

/** Another sandbox's memory and disk of one moment, in a folder of the host, for a new sandbox to continue from. */
export interface Remembered {
  readonly folder: string
  /** For messages. */
  readonly whose: string
  /** The plan of that other sandbox at that moment. */
  readonly plan: Plan
  readonly contexts: readonly ContextRecord[]
  /** Rejects with MEMORY_UNUSABLE when the memory is damaged, or was written with other parts than this plan has. */
  refuseUnfit(plan: Plan, signal: AbortSignal): Promise<void>
}

/** The plan for continuing from that memory. Rejects with MEMORY_UNUSABLE when the plan differs in anything that the memory fixes. */
export async function remembering(plan: Plan, remembered: Remembered, signal: AbortSignal): Promise<Plan> {
  const { folder, whose } = remembered
  const [before, now] = [inMemory(remembered.plan), inMemory(plan)]
  const differs = Object.keys(now).find((name) => before[name] !== now[name])
  if (differs !== undefined) throw unusable(whose, `it was written with another ${differs} (${before[differs]}, not ${now[differs]})`)
  await remembered.refuseUnfit(plan, signal)
  return plan.engine === null ? plan : { ...plan, engine: { ...plan.engine, warm: { op: 'restore', folder, pid: null } } }
}

/** The contexts that it starts with. */
export function contextsBefore({ remembered, contexts = [] }: Given): Partial<Pick<LifeParts, 'adopted' | 'kept' | 'renews'>> {
  return remembered === undefined ? { kept: contexts } : { adopted: remembered.contexts, renews: true }
}

/** Settings that its kernel and agent were given once and keep in memory. */
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
