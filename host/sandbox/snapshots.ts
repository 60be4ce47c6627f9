import { readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type CreateRequest, Fault, type Plan } from '@caisson/wire'
import { freshDeadline, orAborted } from '../lifetimes.ts'
import type { Store } from '../store/store.ts'
import { allocatedBytes } from './allocated.ts'
import { refuseDamaged, refuseForeign } from './asleep.ts'
import { newId } from './ids.ts'
import type { Owner, SnapshotRecord } from './record.ts'
import type { Remembered } from './remembered.ts'
import type { Resident } from './resident.ts'
import { type SnapshotBounds, SnapshotRoom, type SnapshotUse } from './snapshot-room.ts'
import { STATE_FILES } from './state-files.ts'

const MIB = 1024 * 1024
/** Time to compute checksums of some gigabytes on a disk that may be busy. */
const LOOK_MS = 180_000
/** The disk beside a memory, as the keeper names it (native/keeper/src/machine/stage.rs). */
const DISK = 'disk.img'
/** E2B's clients may add a tag: `name:tag`. */
const NAME = /^[a-z0-9][a-z0-9._-]{0,62}(:[a-z0-9][a-z0-9._-]{0,62})?$/

/** A copy of a sandbox that is not published. */
export type Copied = Pick<SnapshotRecord, 'id' | 'disk' | 'memory'>

export interface SnapshotsParts {
  /** The keeper program, which computes checksums. */
  readonly keeper: string
  readonly store: Store
  /** Bounds for owners whose key sets none. */
  readonly snapshotBounds: SnapshotBounds
}

/** Sandboxes at one moment, with files only or also memory, kept to create others from. */
export class Snapshots {
  readonly #folder: string
  readonly #store: Store
  readonly #keeper: string
  readonly #room: SnapshotRoom
  readonly #known = new Map<string, SnapshotRecord>()
  /** Disk space that each takes. */
  readonly #bytes = new Map<string, number>()
  /** Verified memories, by snapshot id; cached because checksums take a while. */
  readonly #whole = new Map<string, Promise<void>>()

  private constructor(folder: string, { keeper, store, snapshotBounds }: SnapshotsParts) {
    this.#folder = folder
    this.#keeper = keeper
    this.#store = store
    this.#room = new SnapshotRoom(snapshotBounds)
  }

  static async open(folder: string, parts: SnapshotsParts): Promise<Snapshots> {
    const snapshots = new Snapshots(folder, parts)
    for (const { document } of await parts.store.all('snapshot')) {
      const record = document as SnapshotRecord
      snapshots.#known.set(record.id, record)
      snapshots.#bytes.set(record.id, await allocatedBytes(placeOf(record)))
    }
    // Removes unfinished snapshots and copies for forks that a killed daemon left.
    for (const name of await readdir(folder)) {
      if (!snapshots.#known.has(name.split('.')[0] ?? '')) await rm(join(folder, name), { recursive: true, force: true })
    }
    return snapshots
  }

  list(owner: Owner): SnapshotRecord[] {
    return [...this.#known.values()]
      .filter((snapshot) => snapshot.owner === owner.name)
      .sort((one, other) => one.createdMs - other.createdMs)
  }

  /** By id or by one of its names; only this owner's. */
  find(reference: string, owner: Owner): SnapshotRecord | undefined {
    return this.list(owner).findLast(({ id, names }) => id === reference || names.includes(reference))
  }

  /** Usage in total, or of one owner. */
  used(owner?: string): SnapshotUse {
    const kept = [...this.#known.values()].filter((snapshot) => owner === undefined || snapshot.owner === owner)
    return { count: kept.length, bytes: kept.reduce((sum, { id }) => sum + (this.#bytes.get(id) ?? 0), 0) }
  }

  /** Usage and bounds of one owner. */
  room(owner: Pick<Owner, 'name' | 'quotas'>): { used: SnapshotUse; most: SnapshotBounds } {
    return { used: this.used(owner.name), most: this.#room.most(owner) }
  }

  /**
   * A name that is in use moves to the new snapshot. Rejects with BAD_REQUEST for an invalid name, or QUOTA_EXCEEDED where it might exceed the owner's bounds.
   */
  async take(
    resident: Resident,
    owner: Owner,
    { name, memory }: { name?: string; memory?: boolean },
    signal: AbortSignal,
  ): Promise<SnapshotRecord> {
    if (name !== undefined && !NAME.test(name)) {
      throw new Fault('BAD_REQUEST', `name: ${JSON.stringify(name)} is not made of a-z, 0-9, dot, _ and -, or is longer than 63`)
    }
    const mostBytes = await resident.copyTakes(memory ?? resident.remembers)
    using _claimed = this.#room.claim(owner, this.used(owner.name), mostBytes)
    const copied = await this.copy(resident, { memory, lasts: true }, signal)
    const bytes = await allocatedBytes(placeOf(copied))
    const { record } = resident
    const snapshot: SnapshotRecord = {
      ...copied,
      owner: owner.name,
      names: name === undefined ? [] : [name],
      sandboxId: record.id,
      template: record.plan.template,
      profile: record.plan.profile,
      wall: record.plan.wall,
      diskMiB: record.plan.disk.bytes / MIB,
      network: record.request.network ?? null,
      createdMs: Date.now(),
    }
    try {
      // Its size may have grown until it was paused for the copy.
      if (bytes > mostBytes) this.#room.refuse(owner, this.used(owner.name).bytes, bytes)
      await this.#store.put('snapshot', snapshot.id, snapshot)
    } catch (failure) {
      await this.discard(copied)
      throw failure
    }
    const former = name === undefined ? undefined : this.find(name, owner)
    this.#known.set(snapshot.id, snapshot)
    this.#bytes.set(snapshot.id, bytes)
    if (former !== undefined)
      await this.#rename(
        former,
        former.names.filter((known) => known !== name),
      )
    return snapshot
  }

  /** Copies a sandbox. Forks discard the copy once they exist (`lasts` false). */
  async copy(
    resident: Resident,
    { memory = resident.remembers, lasts }: { memory: boolean | undefined; lasts: boolean },
    signal: AbortSignal,
  ): Promise<Copied> {
    const id = newId('s')
    const place = join(this.#folder, memory ? `${id}.memory` : `${id}.img`)
    try {
      if (!memory) {
        await resident.copyDisk(place, signal)
        return { id, disk: place }
      }
      const { plan, contexts } = await resident.copyMemory(place, lasts, signal)
      return { id, disk: join(place, DISK), memory: { plan, contexts } }
    } catch (failure) {
      await rm(place, { recursive: true, force: true })
      throw failure
    }
  }

  async discard(copied: Copied): Promise<void> {
    await rm(placeOf(copied), { recursive: true, force: true })
  }

  /** The memory for others to continue from. `lasts`: it is verified first. */
  remembered({ id, disk, memory }: Copied, { lasts }: { lasts: boolean }): Remembered | undefined {
    if (memory === undefined) return undefined
    const [folder, whose] = [dirname(disk), `snapshot ${id}`]
    const refuseUnfit = async (plan: Plan, signal: AbortSignal) => {
      if (!lasts) return
      await refuseForeign({ plan, folder, whose })
      const files = { folder, whose, names: STATE_FILES[plan.wall] }
      // The verification is shared, so one caller's abort must not stop it for the others.
      const looking = this.#whole.get(id) ?? refuseDamaged(files, this.#keeper, freshDeadline(LOOK_MS))
      this.#whole.set(id, looking)
      looking.catch(() => this.#whole.delete(id))
      await orAborted(looking, signal)
    }
    return { folder, whose, ...memory, refuseUnfit }
  }

  async remove(reference: string, owner: Owner): Promise<void> {
    const snapshot = this.find(reference, owner)
    if (snapshot === undefined) throw new Fault('NOT_FOUND', `no snapshot ${JSON.stringify(reference)}`)
    await this.#store.remove('snapshot', snapshot.id)
    this.#known.delete(snapshot.id)
    this.#whole.delete(snapshot.id)
    await this.discard(snapshot)
    this.#bytes.delete(snapshot.id)
  }

  async #rename(snapshot: SnapshotRecord, names: string[]): Promise<void> {
    const renamed = { ...snapshot, names }
    this.#known.set(snapshot.id, renamed)
    await this.#store.put('snapshot', snapshot.id, renamed)
  }
}

/** Its file, or, with memory, its folder. */
function placeOf({ disk, memory }: Pick<SnapshotRecord, 'disk' | 'memory'>): string {
  return memory === undefined ? disk : dirname(disk)
}

/** The request with the snapshot's template and disk, and, unless the request sets them, its network and (with memory) its sizes. */
export function ofSnapshot(request: CreateRequest, { template, diskMiB, network, memory }: SnapshotRecord): CreateRequest {
  if (request.workspace !== undefined) {
    throw new Fault('BAD_REQUEST', 'workspace: a snapshot brings its own files', { hint: 'Leave out one of the two.' })
  }
  const sizes = memory === undefined ? {} : sizesOf(memory.plan.limits)
  return { ...(network === null ? {} : { network }), ...sizes, ...request, template, diskMiB }
}

function sizesOf({ memoryBytes, cpuMilli, pids, openFiles }: Plan['limits']): CreateRequest {
  const [memoryMiB, cpus] = [memoryBytes === null ? null : memoryBytes / MIB, cpuMilli === null ? null : cpuMilli / 1000]
  return { memoryMiB, cpus, pids, openFiles }
}
