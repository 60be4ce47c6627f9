import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type CreateRequest, Fault } from '@caisson/wire'
import type { Store } from '../store/store.ts'
import { newId } from './ids.ts'
import type { Owner, SnapshotRecord } from './record.ts'
import type { Resident } from './resident.ts'

const MIB = 1024 * 1024
/** E2B's clients may give it a tag: `name:tag`. */
const NAME = /^[a-z0-9][a-z0-9._-]{0,62}(:[a-z0-9][a-z0-9._-]{0,62})?$/

/** Files of sandboxes at one moment, kept to create others from. */
export class Snapshots {
  readonly #folder: string
  readonly #store: Store
  readonly #known = new Map<string, SnapshotRecord>()

  private constructor(folder: string, store: Store) {
    this.#folder = folder
    this.#store = store
  }

  static async open(folder: string, store: Store): Promise<Snapshots> {
    const snapshots = new Snapshots(folder, store)
    for (const { document } of await store.all('snapshot')) {
      const record = document as SnapshotRecord
      snapshots.#known.set(record.id, record)
    }
    return snapshots
  }

  list(owner: Owner): SnapshotRecord[] {
    return [...this.#known.values()]
      .filter((snapshot) => snapshot.owner === owner.name)
      .sort((one, other) => one.createdMs - other.createdMs)
  }

  /** By its id or one of its names. Another owner's is not there. */
  find(reference: string, owner: Owner): SnapshotRecord | undefined {
    return this.list(owner).findLast(({ id, names }) => id === reference || names.includes(reference))
  }

  /** Rejects with BAD_REQUEST for a name that is none. A name that is in use moves to the new one. */
  async take(resident: Resident, owner: Owner, name: string | undefined, signal: AbortSignal): Promise<SnapshotRecord> {
    if (name !== undefined && !NAME.test(name)) {
      throw new Fault('BAD_REQUEST', `name: ${JSON.stringify(name)} is not made of a-z, 0-9, dot, _ and -, or is longer than 63`)
    }
    const { id, disk } = await this.copy(resident, signal)
    const { record } = resident
    const snapshot: SnapshotRecord = {
      id,
      owner: owner.name,
      names: name === undefined ? [] : [name],
      sandboxId: record.id,
      template: record.plan.template,
      profile: record.plan.profile,
      wall: record.plan.wall,
      diskMiB: record.plan.disk.bytes / MIB,
      network: record.request.network ?? null,
      disk,
      createdMs: Date.now(),
    }
    try {
      await this.#store.put('snapshot', id, snapshot)
    } catch (failure) {
      await rm(disk, { force: true })
      throw failure
    }
    const former = name === undefined ? undefined : this.find(name, owner)
    this.#known.set(id, snapshot)
    if (former !== undefined)
      await this.#rename(
        former,
        former.names.filter((known) => known !== name),
      )
    return snapshot
  }

  /** A disk that nobody else knows: for forks, who throw it away. */
  async copy(resident: Resident, signal: AbortSignal): Promise<{ id: string; disk: string }> {
    const id = newId('s')
    const disk = join(this.#folder, `${id}.img`)
    await resident.copyDisk(disk, signal)
    return { id, disk }
  }

  async remove(reference: string, owner: Owner): Promise<void> {
    const snapshot = this.find(reference, owner)
    if (snapshot === undefined) throw new Fault('NOT_FOUND', `no snapshot ${JSON.stringify(reference)}`)
    await this.#store.remove('snapshot', snapshot.id)
    this.#known.delete(snapshot.id)
    await rm(snapshot.disk, { force: true })
  }

  async #rename(snapshot: SnapshotRecord, names: string[]): Promise<void> {
    const renamed = { ...snapshot, names }
    this.#known.set(snapshot.id, renamed)
    await this.#store.put('snapshot', snapshot.id, renamed)
  }
}

/** Its template and disk, and its network where nothing else is said. */
export function ofSnapshot(request: CreateRequest, { template, diskMiB, network }: SnapshotRecord): CreateRequest {
  if (request.workspace !== undefined) {
    throw new Fault('BAD_REQUEST', 'workspace: a snapshot brings its own files', { hint: 'Leave out one of the two.' })
  }
  return { ...(network === null ? {} : { network }), ...request, template, diskMiB }
}
