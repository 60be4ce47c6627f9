import { Fault } from '@caisson/wire'
import type { Fleet } from '../../sandbox/fleet.ts'
import type { Visit } from '../call.ts'

const MIB = 1024 * 1024
/** Limit for all code of one owner together: a few runs of the maximum size. */
const MAX_HELD_BYTES = 128 * MIB
const RETRY_S = 2

/** By owner, per daemon. */
const held = new WeakMap<Fleet, Map<string, number>>()

/** Memory for the code of one request, from its first byte to the end of its run. Runs of one context wait for each other. */
export class HeldCode implements Disposable {
  readonly #owner: string
  readonly #all: Map<string, number>
  #bytes = 0

  constructor({ rooms, entered }: Pick<Visit, 'rooms' | 'entered'>) {
    this.#owner = entered.record.owner
    this.#all = held.get(rooms.fleet) ?? new Map()
    held.set(rooms.fleet, this.#all)
  }

  /** Throws QUOTA_EXCEEDED if the owner holds too much. */
  readonly add = (bytes: number): void => {
    this.#count(bytes)
    if (this.#ofOwner <= MAX_HELD_BYTES) return
    throw new Fault('QUOTA_EXCEEDED', `more than ${MAX_HELD_BYTES / MIB} MiB of code of ${this.#owner} wait to be run`, {
      hint: 'Wait until some of it has run, or write long programs to files and run those.',
      retryAfterS: RETRY_S,
    })
  };

  [Symbol.dispose](): void {
    this.#count(-this.#bytes)
  }

  get #ofOwner(): number {
    return this.#all.get(this.#owner) ?? 0
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    const all = this.#ofOwner + bytes
    if (all === 0) this.#all.delete(this.#owner)
    else this.#all.set(this.#owner, all)
  }
}
