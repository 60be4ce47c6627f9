import type { Canary } from '@caisson/policy'
import type { NetworkRecord } from '@caisson/wire'
import { DlpNames } from './dlp-names.ts'
import { Outflow } from './dlp-outflow.ts'
import type { Egress } from './egress.ts'
import type { Searchers } from './search/searchers.ts'

/** Time and punctuation of a line. */
const LINE_BYTES = 64
/** That are looked into at once, on all of its connections: each may hold a connection of the host's to a server. */
const MAX_REQUESTS = 1024

interface GuestParts {
  readonly sandbox: string
  readonly egress: Egress
  /** Of records; when they are used up, the answer is no, as it is when a record cannot be written. */
  readonly auditBytes: number
  /** Planted in it. */
  readonly canaries: readonly Canary[]
  readonly write: (record: NetworkRecord) => void
  readonly searchers: Searchers
}

/** One sandbox as the airlock knows it: what it may reach, what it has sent, and how much may still be written about it. */
export class Guest {
  readonly #parts: GuestParts
  #egress: Egress
  #outflow: Outflow | null = null
  #names: DlpNames | null = null
  #bytesLeft: number
  #requests = 0
  /** Nothing depends on these. */
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

  /** Null: nobody looks into what it sends. */
  get outflow(): Outflow | null {
    return this.#outflow
  }

  get names(): DlpNames | null {
    return this.#names
  }

  /** One request more is under way, until what comes back is called. A sentence without its dot: there are too many. */
  begin(): (() => void) | string {
    if (this.#requests >= MAX_REQUESTS) return `more than ${MAX_REQUESTS} of its requests are under way at once`
    this.#requests += 1
    return () => {
      this.#requests -= 1
    }
  }

  /** Whether the log has it. What it has not must not happen. */
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

  /** For what has happened anyway: questions that wait for their answer come first. */
  recordedSoon(record: NetworkRecord): void {
    if (this.#soon.push(record) === 1) setImmediate(() => this.recordAll())
  }

  /** What was to be recorded soon, now. */
  recordAll(): void {
    const all = this.#soon
    this.#soon = []
    for (const record of all) this.recorded(record)
  }

  /** What has been sent stays sent, whatever rules come. */
  #follow({ policy }: Egress): void {
    const { sandbox, canaries, searchers } = this.#parts
    const spent = this.#outflow?.budgets.spent ?? new Map<string, number>()
    const record = (one: NetworkRecord): boolean => this.recorded(one)
    this.#outflow = policy.dlp === null ? null : new Outflow(policy.dlp, { sandbox, canaries, record, spent, searchers })
    this.#names = this.#outflow === null ? null : new DlpNames(this.#outflow)
  }
}
