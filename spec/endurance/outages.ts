import { setTimeout as pause } from 'node:timers/promises'
import type { SpecDaemon } from '../api/daemon.ts'

/** A daemon that is killed and started again on the same port, and when that was. */
export class Outages {
  daemon: SpecDaemon
  readonly #port: number
  readonly #kept: { from: number; to: number }[] = []
  log = ''

  constructor(daemon: SpecDaemon) {
    this.daemon = daemon
    this.#port = Number(new URL(daemon.url).port)
  }

  get count(): number {
    return this.#kept.length
  }

  /** How long each took, in seconds. */
  get seconds(): string {
    return this.#kept.map(({ from, to }) => ((to - from) / 1000).toFixed(1)).join(' ')
  }

  /** Kills it as the kernel would, and starts another one. */
  async one(): Promise<void> {
    const outage = { from: performance.now(), to: Number.POSITIVE_INFINITY }
    this.#kept.push(outage)
    const { pid } = this.daemon.process
    await this.daemon.stop('SIGKILL')
    this.log += `---- ${pid} was killed\n${this.daemon.log}`
    this.daemon = await this.daemon.again({ port: this.#port, hasPool: true })
    // Answers that were on their way when it died have been told by now.
    await pause(50)
    outage.to = performance.now()
  }

  /** Milliseconds since the last one was over. */
  get calmMs(): number {
    return performance.now() - (this.#kept.at(-1)?.to ?? 0)
  }

  /** Whether there was one at any moment between. */
  overlap(from: number, to: number): boolean {
    return this.#kept.some((outage) => outage.from <= to && outage.to >= from)
  }
}
