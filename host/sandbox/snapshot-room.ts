import { Fault } from '@caisson/wire'
import type { Owner } from './record.ts'

const MIB = 1024 * 1024
const HINT = 'Delete one that is not needed any more; `caisson keys` shows what there is and what there may be.'

/** Number and size of snapshots. */
export interface SnapshotUse {
  readonly count: number
  readonly bytes: number
}

/** Bounds for them; null: unbounded. */
export interface SnapshotBounds {
  readonly count: number | null
  readonly bytes: number | null
}

type Held = Pick<Owner, 'name' | 'quotas'>

/** Disk space that an owner's snapshots may take. They outlive their sandboxes, so no limit of a sandbox covers them. */
export class SnapshotRoom {
  readonly #usual: SnapshotBounds
  /** Bytes reserved for snapshots that are being taken, by owner. */
  readonly #claimed = new Map<string, number[]>()

  /** `usual`: for owners whose key sets no bound. */
  constructor(usual: SnapshotBounds) {
    this.#usual = usual
  }

  most({ quotas }: Pick<Owner, 'quotas'>): SnapshotBounds {
    const { snapshots, snapshotMiB } = quotas
    return { count: snapshots ?? this.#usual.count, bytes: snapshotMiB === null ? this.#usual.bytes : snapshotMiB * MIB }
  }

  /** Reserves one snapshot of up to this size. Dispose the reservation when the snapshot counts in `kept`, or has failed. Throws QUOTA_EXCEEDED. */
  claim(owner: Held, kept: SnapshotUse, bytes: number): Disposable {
    const claimed = this.#claimed.get(owner.name) ?? []
    const count = kept.count + claimed.length + 1
    const { count: mostCount } = this.most(owner)
    // Without Retry-After, which clients would follow: waiting frees no room.
    if (mostCount !== null && count > mostCount)
      throw new Fault('QUOTA_EXCEEDED', `${owner.name} may keep ${mostCount} snapshots`, { hint: HINT })
    const taken = claimed.reduce((sum, one) => sum + one, kept.bytes)
    this.refuse(owner, taken, bytes)
    this.#claimed.set(owner.name, [...claimed, bytes])
    return { [Symbol.dispose]: () => this.#letGo(owner.name, bytes) }
  }

  /** Throws QUOTA_EXCEEDED if there is no room for this in addition to `taken`. */
  refuse(owner: Held, taken: number, bytes: number): void {
    const { bytes: most } = this.most(owner)
    if (most === null || taken + bytes <= most) return
    const [all, there, more] = [most, taken, bytes].map((one) => `${Math.ceil(one / MIB)} MiB`)
    throw new Fault('QUOTA_EXCEEDED', `${owner.name} may keep ${all} in snapshots: ${there} are taken, and this one may take ${more}`, {
      hint: HINT,
    })
  }

  #letGo(name: string, bytes: number): void {
    const claimed = this.#claimed.get(name) ?? []
    const at = claimed.indexOf(bytes)
    const left = claimed.toSpliced(at, at < 0 ? 0 : 1)
    if (left.length === 0) this.#claimed.delete(name)
    else this.#claimed.set(name, left)
  }
}
