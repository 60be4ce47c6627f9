import { Fault } from '@caisson/wire'
import type { Owner } from './record.ts'

const MIB = 1024 * 1024
const HINT = 'Delete one that is not needed any more; `caisson keys` shows what there is and what there may be.'

/** What snapshots are, and take of the disk. */
export interface SnapshotUse {
  readonly count: number
  readonly bytes: number
}

/** What they may be at most; null: as much as there is. */
export interface SnapshotBounds {
  readonly count: number | null
  readonly bytes: number | null
}

type Held = Pick<Owner, 'name' | 'quotas'>

/** How much of the disk an owner may keep in snapshots: they outlive their sandboxes, and no limit of a sandbox counts them. */
export class SnapshotRoom {
  readonly #usual: SnapshotBounds
  /** Bytes of those that are being taken, by owners. */
  readonly #claimed = new Map<string, number[]>()

  /** `usual`: of whoever has a key that says nothing of it. */
  constructor(usual: SnapshotBounds) {
    this.#usual = usual
  }

  most({ quotas }: Pick<Owner, 'quotas'>): SnapshotBounds {
    const { snapshots, snapshotMiB } = quotas
    return { count: snapshots ?? this.#usual.count, bytes: snapshotMiB === null ? this.#usual.bytes : snapshotMiB * MIB }
  }

  /** For one more, of at most so many bytes; it counts until it is let go, and is among those that are `kept` by then. Throws QUOTA_EXCEEDED. */
  claim(owner: Held, kept: SnapshotUse, bytes: number): Disposable {
    const claimed = this.#claimed.get(owner.name) ?? []
    const count = kept.count + claimed.length + 1
    const { count: mostCount } = this.most(owner)
    // None of them becomes room by waiting: no Retry-After, which clients would follow.
    if (mostCount !== null && count > mostCount)
      throw new Fault('QUOTA_EXCEEDED', `${owner.name} may keep ${mostCount} snapshots`, { hint: HINT })
    const taken = claimed.reduce((sum, one) => sum + one, kept.bytes)
    this.refuse(owner, taken, bytes)
    this.#claimed.set(owner.name, [...claimed, bytes])
    return { [Symbol.dispose]: () => this.#letGo(owner.name, bytes) }
  }

  /** Beside what is `taken` already. Throws QUOTA_EXCEEDED. */
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
