import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

/** How a sandbox was created: taken from the pool, forked from a zygote, forked as a twin, restored, or started cold. */
export type CreatePath = 'pool' | 'zygote' | 'twin' | 'restored' | 'cold'

const REQUEST_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300]
const CREATE_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15]
/** Each sample of the event loop wakes the process, which should sleep when idle. */
const LOOP_SAMPLE_MS = 200

/** Counters and durations of a daemon, in Prometheus terms. Label values are few: route patterns, never paths or ids. */
export class Meters {
  readonly contentType: string
  readonly #registry = new Registry()
  readonly #requests: Counter<'method' | 'route' | 'status'>
  readonly #requestSeconds: Histogram<'route'>
  readonly #failures: Counter<'code'>
  readonly #creates: Counter<'path'>
  readonly #createSeconds: Histogram<'path'>
  readonly #evictions: Counter
  readonly #endings: Counter<'reason'>

  constructor() {
    const registers = [this.#registry]
    this.contentType = this.#registry.contentType
    const labelled = <T extends string>(name: string, help: string, ...labelNames: T[]) => ({ name, help, labelNames, registers })
    this.#requests = new Counter(labelled('caisson_requests_total', 'Requests that were answered', 'method', 'route', 'status'))
    this.#requestSeconds = new Histogram({
      ...labelled('caisson_request_seconds', 'From the head of a request to the end of its answer', 'route'),
      buckets: REQUEST_SECONDS,
    })
    this.#failures = new Counter(labelled('caisson_failures_total', 'Failures that callers were told of, by code', 'code'))
    this.#creates = new Counter(labelled('caisson_creates_total', 'Sandboxes created, by where they came from', 'path'))
    this.#createSeconds = new Histogram({
      ...labelled('caisson_create_seconds', 'From the request to a sandbox that is ready', 'path'),
      buckets: CREATE_SECONDS,
    })
    this.#evictions = new Counter(labelled('caisson_pool_evictions_total', 'Waiting sandboxes that were given up to make room'))
    this.#endings = new Counter(labelled('caisson_endings_total', 'Sandboxes that ended, by reason', 'reason'))
    collectDefaultMetrics({ register: this.#registry, prefix: 'caisson_', eventLoopMonitoringPrecision: LOOP_SAMPLE_MS })
  }

  request(about: { method: string; route: string; status: number; seconds: number }): void {
    this.#requests.inc({ method: about.method, route: about.route, status: about.status })
    this.#requestSeconds.observe({ route: about.route }, about.seconds)
  }

  failure(code: string): void {
    this.#failures.inc({ code })
  }

  created(path: CreatePath, seconds: number): void {
    this.#creates.inc({ path })
    this.#createSeconds.observe({ path }, seconds)
  }

  evicted(): void {
    this.#evictions.inc()
  }

  ended(reason: string): void {
    this.#endings.inc({ reason })
  }

  /** A gauge read on demand: sandboxes by state, sandboxes waiting in the pool, open sockets. */
  gauge(name: string, help: string, label: string, read: () => Readonly<Record<string, number>>): void {
    const gauge: Gauge<string> = new Gauge({
      name: `caisson_${name}`,
      help,
      labelNames: [label],
      registers: [this.#registry],
      collect() {
        gauge.reset()
        for (const [value, count] of Object.entries(read())) gauge.set({ [label]: value }, count)
      },
    })
  }

  /** The page for Prometheus to scrape. */
  page(): Promise<string> {
    return this.#registry.metrics()
  }
}
