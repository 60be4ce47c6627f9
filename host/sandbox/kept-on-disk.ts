import type { CreateRequest } from '@caisson/wire'
import type { Creating } from './creating.ts'
import { type Claim, claimOf, keptBySnapshot, NO_CLAIM } from './quotas.ts'
import type { Owner } from './record.ts'
import type { Resident } from './resident.ts'
import type { Snapshots } from './snapshots.ts'

interface Parts {
  readonly creating: Pick<Creating, 'deciding' | 'resting'>
  readonly snapshots: Pick<Snapshots, 'list'>
}

/** What a new sandbox would take, and what its owner has on the host's disk besides sandboxes, as it is when it is asked; as far as either is counted. */
export async function taking({ creating, snapshots }: Parts, owner: Owner, request: CreateRequest, signal: AbortSignal) {
  const { memoryMiB, cpus, diskMiB = null } = owner.quotas
  const isCounted = memoryMiB !== null || cpus !== null || diskMiB !== null
  const claim: Claim = isCounted ? await creating.deciding.claim(request, signal) : NO_CLAIM
  if (diskMiB === null) return { claim, kept: () => 0 }
  const resting = await creating.resting(owner.name)
  const { workspace = '' } = request
  // It takes its disk with it, as large as that is.
  return { claim: { ...claim, diskMiB: resting.get(workspace) ?? claim.diskMiB }, kept: sum(snapshots, owner, resting, workspace) }
}

/** The same, where nothing new is made of it. */
export async function keptOnDisk({ creating, snapshots }: Parts, owner: Owner): Promise<() => number> {
  if ((owner.quotas.diskMiB ?? null) === null) return () => 0
  return sum(snapshots, owner, await creating.resting(owner.name), '')
}

/** What a snapshot of it takes, in MiB. */
export function roomFor(
  { record, remembers }: Pick<Resident, 'record' | 'remembers'>,
  { memory = remembers }: { memory?: boolean },
): number {
  const { memoryMiB, diskMiB } = claimOf(record)
  return diskMiB + (memory ? memoryMiB : 0)
}

function sum(snapshots: Parts['snapshots'], owner: Owner, resting: ReadonlyMap<string, number>, taken: string): () => number {
  let mib = 0
  for (const [name, size] of resting) if (name !== taken) mib += size
  return () => snapshots.list(owner).reduce((all, snapshot) => all + keptBySnapshot(snapshot), mib)
}
