import { setTimeout as pause } from 'node:timers/promises'
import { within } from '@caisson/wire'
import { linesFromStart } from '../follow.ts'
import { parsedLine } from '../lines.ts'
import { type Cursor, readCursor, writeCursor } from './cursor.ts'
import type { Sent, Sink } from './sink.ts'

/** Limits of one batch; a single record may exceed the byte limit. */
const MAX_BATCH = 500
const MAX_BATCH_BYTES = 1024 * 1024
/** How long the receiver may take to acknowledge. */
const SEND_MS = 15_000
const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 30_000
const MAX_REASON_CHARACTERS = 500
const SEQ = /^\{"seq":(\d{1,15}),/

export interface DeliveryParts {
  readonly name: string
  readonly sink: Sink
  /** The growing log file. */
  readonly path: string
  /** The log's folder. */
  readonly folder: string
}

/**
 * Delivers every record of the log to one sink, in order, at least once. The log itself is the queue: the position is stored beside it, and delivery resumes
 * there after any interruption.
 */
export class Delivery implements AsyncDisposable {
  readonly name: string
  readonly sink: Sink
  readonly #parts: DeliveryParts
  readonly #stop = new AbortController()
  readonly #over: Promise<void>
  #cursor: Cursor
  /** When the oldest record being delivered was written. */
  #oldestMs: number | undefined

  /** `lastSeq`: number of the log's last record, or -1. */
  constructor(parts: DeliveryParts, lastSeq: number) {
    this.name = parts.name
    this.sink = parts.sink
    this.#parts = parts
    const known = readCursor(parts.folder, parts.name)
    // The cursor belongs to an earlier log; this one was begun anew.
    this.#cursor = known.seq > lastSeq ? { ...known, seq: -1 } : known
    this.#write(this.#cursor)
    this.#over = this.#run(this.#stop.signal)
  }

  get cursor(): Cursor {
    return this.#cursor
  }

  /** How long the oldest undelivered record has waited. */
  waitedMs(nowMs: number): number {
    return this.#oldestMs === undefined ? 0 : Math.max(0, nowMs - this.#oldestMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#over
    this.sink.close?.()
  }

  /** Reading can fail like sending (no free descriptor, an unresponsive disk), and is retried likewise. */
  async #run(signal: AbortSignal): Promise<void> {
    for (let waitMs = FIRST_WAIT_MS; !signal.aborted; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
      const { seq } = this.#cursor
      try {
        for await (const lines of linesFromStart(this.#parts.path, { follow: true, after: seq }, signal)) {
          for (const batch of batches(lines, this.#cursor.seq)) await this.#give(batch, signal)
        }
      } catch (failure) {
        if (signal.aborted) return
        if (this.#cursor.seq > seq) waitMs = FIRST_WAIT_MS
        this.#failed(`the log cannot be read: ${said(failure)}`)
      }
      await rest(waitMs, signal).catch(() => undefined)
    }
  }

  /** Retries until the batch is taken. */
  async #give(batch: readonly Sent[], signal: AbortSignal): Promise<void> {
    this.#oldestMs = Date.parse(String(parsedLine(batch[0]?.line ?? '')?.['ts'])) || Date.now()
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
      try {
        await this.sink.send(batch, within(SEND_MS, signal))
        break
      } catch (failure) {
        if (signal.aborted) throw failure
        this.#failed(said(failure))
        await rest(waitMs, signal)
      }
    }
    this.#oldestMs = undefined
    this.#write({ seq: batch.at(-1)?.seq ?? this.#cursor.seq, atMs: Date.now(), failing: null })
  }

  #failed(reason: string): void {
    const { failing } = this.#cursor
    const short = reason.slice(0, MAX_REASON_CHARACTERS)
    this.#write({ ...this.#cursor, failing: { sinceMs: failing?.sinceMs ?? Date.now(), tries: (failing?.tries ?? 0) + 1, reason: short } })
  }

  /** If the cursor cannot be written, the disk is full. After a daemon restart records are then delivered twice, but none is lost. */
  #write(cursor: Cursor): void {
    this.#cursor = cursor
    try {
      writeCursor(this.#parts.folder, this.name, cursor)
    } catch (failure) {
      this.#cursor = { ...cursor, failing: cursor.failing ?? { sinceMs: Date.now(), tries: 0, reason: `its cursor: ${said(failure)}` } }
    }
  }
}

/** A malformed line (half a line) is reported by the record after it. */
function* batches(lines: readonly string[], after: number): Generator<Sent[]> {
  let batch: Sent[] = []
  let bytes = 0
  for (const line of lines) {
    const [, digits] = SEQ.exec(line) ?? []
    const seq = Number(digits)
    if (digits === undefined || seq <= after) continue
    if (batch.length >= MAX_BATCH || (batch.length > 0 && bytes + line.length > MAX_BATCH_BYTES)) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push({ seq, line })
    bytes += line.length
  }
  if (batch.length > 0) yield batch
}

/** Adds jitter, so that many daemons do not retry at the same moment. */
function rest(waitMs: number, signal: AbortSignal): Promise<void> {
  return pause(waitMs * (0.5 + Math.random() / 2), undefined, { signal })
}

function said(failure: unknown): string {
  return failure instanceof Error ? failure.message : String(failure)
}
