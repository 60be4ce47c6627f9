import type { CreateRequest } from '@caisson/wire'
import type { Creating } from './creating.ts'
import { NO_CLAIM } from './quotas.ts'
import type { Owner } from './record.ts'

type Known = Pick<Creating, 'deciding' | 'resting'>

/** What a new sandbox would take, and, in MiB, what those workspaces of its owner take that no sandbox has; only if there is a quota for it. */
export async function taking(creating: Known, owner: Owner, request: CreateRequest, signal: AbortSignal) {
  const { memoryMiB, cpus, diskMiB = null } = owner.quotas
  const isCounted = memoryMiB !== null || cpus !== null || diskMiB !== null
  const claim = isCounted ? await creating.deciding.claim(request, signal) : NO_CLAIM
  if (diskMiB === null) return { claim, restingMiB: 0 }
  const { workspace = '' } = request
  const all = await creating.resting(owner.name)
  // It takes over the workspace's disk, at its actual size.
  return { claim: { ...claim, diskMiB: all.get(workspace) ?? claim.diskMiB }, restingMiB: sum(all, workspace) }
}

/** The workspaces of this owner, none of which is about to be taken. */
export async function resting(creating: Known, owner: Owner): Promise<number> {
  return (owner.quotas.diskMiB ?? null) === null ? 0 : sum(await creating.resting(owner.name), '')
}

function sum(all: ReadonlyMap<string, number>, taken: string): number {
  let mib = 0
  for (const [name, size] of all) if (name !== taken) mib += size
  return mib
}
