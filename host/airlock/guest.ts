import type { NetworkRecord } from '@caisson/wire'
import type { Egress } from './egress.ts'

/** Time and punctuation of a line. */
const LINE_BYTES = 64

/** One sandbox as the airlock knows it: what it may reach, and how much may still be written about it. */
export class Guest {
  egress: Egress
  readonly #write: (record: NetworkRecord) => void
  #bytesLeft: number

  /** `bytes`: of records; when they are used up, the answer is no, as it is when a record cannot be written. */
  constructor(egress: Egress, bytes: number, write: (record: NetworkRecord) => void) {
    this.egress = egress
    this.#bytesLeft = bytes
    this.#write = write
  }

  /** Whether the log has it. What it has not must not happen. */
  recorded(record: NetworkRecord): boolean {
    if (this.#bytesLeft <= 0) return false
    this.#bytesLeft -= JSON.stringify(record).length + LINE_BYTES
    try {
      this.#write(record)
      return true
    } catch {
      return false
    }
  }
}
