import type { Canary } from '@caisson/policy'
import type { NetworkRecord } from '@caisson/wire'
import { DlpNames } from './dlp-names.ts'
import { Outflow } from './dlp-outflow.ts'
import type { Egress } from './egress.ts'
import type { Searchers } from './search/searchers.ts'

/** Size of a line's timestamp and punctuation. */
const LINE_BYTES = 64
/** Limit on concurrently inspected requests of one sandbox: each may hold a connection from the host to a server. */
const MAX_REQUESTS = 1024

interface GuestParts {
  readonly sandbox: string
  readonly egress: Egress
  /** Limit on its records. Once it is used up, the answer is no, just as when a record cannot be written. */
  readonly auditBytes: number
  /** Decoys planted in it. */
  readonly canaries: readonly Canary[]
  readonly write: (record: NetworkRecord) => void
  readonly searchers: Searchers
}

/** One sandbox as the airlock knows it: what it may reach, what it has sent, and how much may still be logged about it. */
export class Guest {
  readonly #parts: GuestParts
  #egress: Egress
  #outflow: Outflow | null = null
  #names: DlpNames | null = null
  #bytesLeft: number
  #requests = 0
  /** Nothing depends on these records. */
  #soon: NetworkRecord[] = []

  constructor(parts: GuestParts) {
    this.#parts = parts
    this.#bytesLeft = parts.auditBytes
    this.#egress = parts.egress
    this.#follow(parts.egress)
  }

  get egress(): Egress {
    return this.#egress
  }

  set egress(egress: Egress) {
    this.#egress = egress
    this.#follow(egress)
  }

  /** Null: its outgoing data is not searched. */
  get outflow(): Outflow | null {
    return this.#outflow
  }

  get names(): DlpNames | null {
    return this.#names
  }

  /** Counts a running request until the returned function is called. A string (a sentence without its full stop): there are too many. */
  begin(): (() => void) | string {
    if (this.#requests >= MAX_REQUESTS) return `more than ${MAX_REQUESTS} of its requests are under way at once`
    this.#requests += 1
    return () => {
      this.#requests -= 1
    }
  }

  /** Whether the record is in the log; otherwise the event must not happen. */
  recorded(record: NetworkRecord): boolean {
    if (this.#bytesLeft <= 0) return false
    this.#bytesLeft -= JSON.stringify(record).length + LINE_BYTES
    try {
      this.#parts.write(record)
      return true
    } catch {
      return false
    }
  }

  /** For events that have already happened; pending questions are answered first. */
  recordedSoon(record: NetworkRecord): void {
    if (this.#soon.push(record) === 1) setImmediate(() => this.recordAll())
  }

  /** Writes the deferred records now. */
  recordAll(): void {
    const all = this.#soon
    this.#soon = []
    for (const record of all) this.recorded(record)
  }

  /** What has been sent stays counted, whatever rules come. */
  #follow({ policy }: Egress): void {
    const { sandbox, canaries, searchers } = this.#parts
    const spent = this.#outflow?.budgets.spent ?? new Map<string, number>()
    const record = (one: NetworkRecord): boolean => this.recorded(one)
    this.#outflow = policy.dlp === null ? null : new Outflow(policy.dlp, { sandbox, canaries, record, spent, searchers })
    this.#names = this.#outflow === null ? null : new DlpNames(this.#outflow)
  }
}
