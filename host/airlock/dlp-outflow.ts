import { type Canary, Columns, type DlpPolicy, Watch } from '@caisson/policy'
import type { DlpPlace, NetworkRecord } from '@caisson/wire'
import { Budgets } from './dlp-budgets.ts'
import type { Target } from './egress.ts'
import { digest } from './search/digest.ts'
import type { Searchers } from './search/searchers.ts'

/** How long data sent to one destination is remembered. */
const WINDOW_MS = 10 * 60_000
const MAX_LANES = 128
/** How much of the sent data is kept, so that a value split across two requests is found. */
const TAIL_BYTES = 1024
/** Short runs of one sandbox that are searched on the main thread before others get their turn. */
const NEAR_AT_ONCE = 16

export interface Found {
  readonly detector: string
  readonly place: DlpPlace
  readonly through: readonly string[]
  readonly verdict: 'block' | 'redact' | 'alert'
}

/** What is remembered about one destination. */
export interface Lane {
  readonly target: Target
  readonly columns: Readonly<Record<'url' | 'body' | 'message', Columns>>
  tail: Uint8Array
  /** Runs after all earlier work has finished. */
  inTurn<T>(work: () => Promise<T>): Promise<T>
  atMs: number
}

/** What one sandbox has sent, as far as it matters for judging what it sends next. */
export class Outflow {
  readonly policy: DlpPolicy
  readonly watch: Watch
  readonly sandbox: string
  readonly canaries: readonly Canary[]
  readonly budgets: Budgets
  /** For searches too large for the main thread. */
  readonly searchers: Searchers
  readonly #record: (record: NetworkRecord) => boolean
  readonly #lanes = new Map<string, Lane>()
  #near = 0
  #others: Promise<void> | null = null

  /** `spent`: what its budgets have used, by rule; kept when the policy is replaced. */
  constructor(
    policy: DlpPolicy,
    {
      sandbox,
      canaries,
      record,
      spent,
      searchers,
    }: {
      sandbox: string
      canaries: readonly Canary[]
      record: (record: NetworkRecord) => boolean
      spent: Map<string, number>
      searchers: Searchers
    },
  ) {
    this.policy = policy
    this.watch = new Watch(policy.salt, digest, policy.fingerprints, canaries)
    this.sandbox = sandbox
    this.canaries = canaries
    this.searchers = searchers
    searchers.warm()
    this.#record = record
    this.budgets = new Budgets(policy.budgetOf, spent)
  }

  lane(target: Target): Lane {
    const now = Date.now()
    const key = `${target.name ?? target.address}:${target.port}`
    const known = this.#lanes.get(key)
    const isFresh = known !== undefined && now - known.atMs < WINDOW_MS
    const columns = () => ({ url: new Columns(), body: new Columns(), message: new Columns() })
    const lane: Lane = isFresh ? known : { target, columns: columns(), tail: new Uint8Array(0), inTurn: inTurns(), atMs: now }
    lane.atMs = now
    this.#lanes.delete(key)
    this.#lanes.set(key, lane)
    const [oldest] = this.#lanes.keys()
    if (this.#lanes.size > MAX_LANES && oldest !== undefined) this.#lanes.delete(oldest)
    return lane
  }

  /** Resolves when a short run may be searched here. WebSocket messages may be one byte each and come by the ten thousand. */
  async nearTurn(): Promise<void> {
    while (this.#near >= NEAR_AT_ONCE) await this.#others
    this.#near += 1
    this.#others ??= new Promise((resolve) =>
      setImmediate(() => {
        this.#near = 0
        this.#others = null
        resolve()
      }),
    )
  }

  remember(lane: Lane, bytes: Uint8Array): void {
    lane.tail = bytes.length >= TAIL_BYTES ? bytes.slice(-TAIL_BYTES) : Buffer.concat([lane.tail, bytes]).subarray(-TAIL_BYTES)
  }

  /** Whether the finding is in the log; otherwise the data must not leave. */
  told(target: Target, { detector, place, through, verdict }: Found): boolean {
    const { name, address, port } = target
    return this.#record({
      kind: 'network-dlp',
      sandbox: this.sandbox,
      name,
      address: name === null ? address : null,
      port,
      detector,
      place,
      through: [...through],
      verdict,
    })
  }
}

function inTurns(): Lane['inTurn'] {
  let before: Promise<unknown> = Promise.resolve()
  return (work) => {
    const mine = before.then(work)
    before = mine.catch(() => undefined)
    return mine
  }
}
