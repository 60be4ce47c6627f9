import type { SandboxRecord } from '../../sandbox/record.ts'

const TICK_MS = 30_000
/** Time window for the creation rate. */
const RATE_MS = 60_000
/** One day of one owner. */
const MAX_SAMPLES = 2880
const MAX_OWNERS = 1000

export interface TeamSample {
  readonly atMs: number
  readonly concurrent: number
  /** Per second. */
  readonly startRate: number
}

/** Per owner, the number of sandboxes and the rate of creation over the last day of this daemon. */
export class TeamHistory implements Disposable {
  readonly #live: () => Iterable<SandboxRecord>
  readonly #samples = new Map<string, TeamSample[]>()
  readonly #timer: NodeJS.Timeout

  /** `live`: running and paused sandboxes of all owners. */
  constructor(live: () => Iterable<SandboxRecord>) {
    this.#live = live
    this.#timer = setInterval(() => this.tick(Date.now()), TICK_MS)
    this.#timer.unref()
  }

  /** Oldest first; includes the current values if the time span reaches that far. */
  of(owner: string, { fromMs, toMs }: { fromMs: number; toMs: number }): TeamSample[] {
    const atMs = Date.now()
    const now = this.#count(atMs).get(owner) ?? { atMs, concurrent: 0, startRate: 0 }
    return [...(this.#samples.get(owner) ?? []), now].filter((sample) => sample.atMs >= fromMs && sample.atMs <= toMs)
  }

  /** Takes a sample. Owners without sandboxes are forgotten once all their samples are empty. */
  tick(atMs: number): void {
    const counted = this.#count(atMs)
    for (const owner of new Set([...this.#samples.keys(), ...counted.keys()])) {
      const samples = this.#samples.get(owner) ?? []
      samples.push(counted.get(owner) ?? { atMs, concurrent: 0, startRate: 0 })
      if (samples.length > MAX_SAMPLES) samples.shift()
      if (samples.every(({ concurrent, startRate }) => concurrent === 0 && startRate === 0)) this.#samples.delete(owner)
      else if (this.#samples.has(owner) || this.#samples.size < MAX_OWNERS) this.#samples.set(owner, samples)
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  #count(atMs: number): Map<string, TeamSample> {
    const counted = new Map<string, TeamSample>()
    for (const { owner, state, startedMs } of this.#live()) {
      const { concurrent, startRate } = counted.get(owner) ?? { concurrent: 0, startRate: 0 }
      counted.set(owner, {
        atMs,
        concurrent: concurrent + (state === 'running' ? 1 : 0),
        startRate: startRate + (startedMs > atMs - RATE_MS ? 1000 / RATE_MS : 0),
      })
    }
    return counted
  }
}
