import { freshDeadline } from '../lifetimes.ts'
import type { Sample } from './record.ts'
import type { Resident } from './resident.ts'

const TICK_MS = 5000
/** An idle sandbox is measured this rarely, and more rarely the more there are: two thousand idle ones must cost next to nothing. */
const IDLE_MS = 60_000
const IDLE_MS_EACH = 150
const ACTIVE_MS = 30_000
const ASK_MS = 5000
/** Concurrent measurements. Other work is interleaved. */
const AT_ONCE = 4
/** An hour of an active sandbox. */
const MAX_SAMPLES = 720

interface Series {
  readonly samples: Sample[]
  cpuUsedUs: number
}

/** Resource usage of sandboxes, sampled over time. */
export class Sampling implements Disposable {
  readonly #residents: () => Iterable<Resident>
  readonly #series = new WeakMap<Resident, Series>()
  readonly #timer: NodeJS.Timeout
  readonly #openedMs = Date.now()
  #isAtWork = false

  constructor(residents: () => Iterable<Resident>) {
    this.#residents = residents
    this.#timer = setInterval(() => void this.#tick(), TICK_MS)
    this.#timer.unref()
  }

  /** Samples, oldest first. A sandbox without a recent sample is measured first. */
  async of(resident: Resident, span: { fromMs: number; toMs: number }): Promise<Sample[]> {
    const newest = this.#series.get(resident)?.samples.at(-1)
    if (span.toMs >= Date.now() && Date.now() - (newest?.atMs ?? 0) > TICK_MS) await this.#measure(resident)
    return (this.#series.get(resident)?.samples ?? []).filter(({ atMs }) => atMs >= span.fromMs && atMs <= span.toMs)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  async #tick(): Promise<void> {
    if (this.#isAtWork) return
    this.#isAtWork = true
    const now = Date.now()
    // A frozen sandbox does not answer.
    const living = [...this.#residents()].filter(({ live, record }) => live !== undefined && record.state === 'running')
    const idleMs = Math.max(IDLE_MS, living.length * IDLE_MS_EACH)
    const isDue = (everyMs: number) => (resident: Resident) => now - this.#measuredMs(resident) >= everyMs - TICK_MS / 2
    const isActive = ({ lastEnteredMs }: Resident) => now - lastEnteredMs < ACTIVE_MS
    const idle = living.filter((resident) => !isActive(resident)).filter(isDue(idleMs))
    // Spreads the idle ones over several ticks, however many arrived at once or were found at the start.
    const turn = Math.ceil((living.length * TICK_MS) / idleMs)
    const due = [...living.filter(isActive).filter(isDue(TICK_MS)), ...idle.slice(0, turn)]
    const work = async () => {
      for (let next = due.shift(); next !== undefined; next = due.shift()) await this.#measure(next)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work))
    this.#isAtWork = false
  }

  /** Time of the last sample, or else of its start, or of this object's if that was later: a new sandbox is not due at once. `of` measures it when asked. */
  #measuredMs(resident: Resident): number {
    return this.#series.get(resident)?.samples.at(-1)?.atMs ?? Math.max(resident.record.startedMs, this.#openedMs)
  }

  /** A sandbox that does not answer, or has just ended, gets no sample. */
  async #measure(resident: Resident): Promise<void> {
    const { live } = resident
    if (live === undefined) return
    const used = await live.metrics(freshDeadline(ASK_MS)).catch(() => undefined)
    if (used === undefined) return
    const series = this.#series.get(resident) ?? { samples: [], cpuUsedUs: 0 }
    this.#series.set(resident, series)
    const atMs = Date.now()
    const newest = series.samples.at(-1)
    const cpus = (resident.record.plan.limits.cpuMilli ?? 1000) / 1000
    const spanUs = newest === undefined ? 0 : (atMs - newest.atMs) * 1000
    const cpuUsedPct = spanUs === 0 ? 0 : Math.min(100, Math.max(0, ((used.cpuUsedUs - series.cpuUsedUs) / spanUs / cpus) * 100))
    series.cpuUsedUs = used.cpuUsedUs
    const { cpuUsedUs: _, processes: __, ...sizes } = used
    series.samples.push({ atMs, cpus, cpuUsedPct, ...sizes })
    if (series.samples.length > MAX_SAMPLES) series.samples.shift()
  }
}
