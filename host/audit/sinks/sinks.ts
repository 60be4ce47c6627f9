import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Fault } from '@caisson/wire'
import { freshDeadline, refuseAborted, Undos } from '../../lifetimes.ts'
import { lastSeq } from '../head.ts'
import { CURRENT } from '../segments.ts'
import { readSinks, type SetUp } from './config.ts'
import { forgetOthers } from './cursor.ts'
import { Delivery } from './delivery.ts'
import type { SinkHouse } from './sink.ts'
import { refuseLag, SINKS_FILE } from './status.ts'

const REACH_MS = 5_000
/** When the daemon stops, how long the last records may take. The rest is delivered by the next daemon. */
const LAST_MS = 2_000
const LOOK_MS = 50

interface Standing {
  readonly setUp: SetUp
  readonly delivery: Delivery
}

export interface SinksOptions {
  readonly home: string
  /** The log's folder. */
  readonly folder: string
  readonly house: SinkHouse
}

/** The destinations that a daemon delivers its records to. */
export class Sinks implements AsyncDisposable {
  readonly #folder: string
  readonly #all: readonly Standing[]

  private constructor(folder: string, all: readonly Standing[]) {
    this.#folder = folder
    this.#all = all
  }

  /** Rejects with SINK_INVALID, or with SINK_UNREACHABLE if one of them does not answer; nothing has been sent then. */
  static async open({ home, folder, house }: SinksOptions, signal: AbortSignal): Promise<Sinks> {
    refuseAborted(signal)
    await using undo = new Undos()
    const opened = readSinks(join(home, SINKS_FILE)).map((setUp) => {
      const sink = setUp.open(house)
      undo.add(() => sink.close?.())
      return { setUp, sink }
    })
    for (const { setUp, sink } of opened) {
      await sink.reach(freshDeadline(REACH_MS)).catch((cause: unknown) => {
        const why = cause instanceof Error ? cause.message : String(cause)
        throw new Fault('SINK_UNREACHABLE', `sink unreachable: ${setUp.name} (${setUp.kind}, ${sink.place}): ${why}`, { cause })
      })
    }
    forgetOthers(
      folder,
      opened.map(({ setUp }) => setUp.name),
    )
    const last = lastSeq(folder)
    const path = join(folder, CURRENT)
    const all = opened.map(({ setUp, sink }) => ({ setUp, delivery: new Delivery({ name: setUp.name, sink, path, folder }, last) }))
    undo.move()
    return new Sinks(folder, all)
  }

  /** Each sink with its destination, for the record. */
  get places(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#all.map(({ setUp, delivery }) => [setUp.name, `${setUp.kind} ${delivery.sink.place}`]))
  }

  /** Number of undelivered records of each sink. */
  lags(): Readonly<Record<string, number>> {
    const last = this.#all.length === 0 ? -1 : lastSeq(this.#folder)
    return Object.fromEntries(this.#all.map(({ setUp, delivery }) => [setUp.name, Math.max(0, last - delivery.cursor.seq)]))
  }

  /** Throws AUDIT_BEHIND while a required sink is further behind than allowed. */
  refuseBehind(): void {
    const required = this.#all.filter(({ setUp }) => setUp.required)
    if (required.length === 0) return
    const last = lastSeq(this.#folder)
    for (const { setUp, delivery } of required) {
      const { cursor } = delivery
      refuseLag(setUp, { cursor, missing: last - cursor.seq, waitedMs: delivery.waitedMs(Date.now()) })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const untilMs = Date.now() + LAST_MS
    const isUnderWay = () => this.#all.some(({ setUp, delivery }) => delivery.cursor.failing === null && (this.lags()[setUp.name] ?? 0) > 0)
    while (Date.now() < untilMs && isUnderWay()) await pause(LOOK_MS)
    await Promise.all(this.#all.map(({ delivery }) => delivery[Symbol.asyncDispose]()))
  }
}
