import { type Finding, readEndpoint } from '@caisson/policy'
import type { DlpPlace } from '@caisson/wire'
import type { Lane, Outflow } from './dlp-outflow.ts'
import type { Ground } from './inspect/passage.ts'

/** Limit on recorded findings per run; the first ones show what it was. */
const MAX_TOLD = 32

export type Span = NonNullable<Finding['span']>

/** Decides about the findings in one run of bytes. */
export class Judging {
  readonly #outflow: Outflow
  readonly #lane: Lane
  readonly #place: DlpPlace
  readonly #told = new Set<string>()
  /** Bytes of context before the run; positions count from its start. */
  readonly #before: number
  readonly #hiddenIn: readonly string[]
  readonly redactions: Span[] = []
  #ground: Ground | null = null
  #hasFound = false

  /** `hiddenIn`: what it was unpacked from; findings then have no position in the data as sent. */
  constructor(outflow: Outflow, lane: Lane, place: DlpPlace, { before = 0, hiddenIn = [] as readonly string[] } = {}) {
    this.#outflow = outflow
    this.#lane = lane
    this.#place = place
    this.#before = before
    this.#hiddenIn = hiddenIn
  }

  /** Null: nothing that must not leave. */
  get ground(): Ground | null {
    return this.#ground
  }

  /** Whether anything was found, whatever the verdict: the log must not quote the data then. */
  get hasFound(): boolean {
    return this.#hasFound
  }

  judge(findings: readonly Finding[]): Ground | null {
    for (const finding of findings) this.#judge(finding)
    return this.#ground
  }

  unscannable(what: string): Ground | null {
    return this.judge([{ detector: 'unscannable', through: [what], span: null }])
  }

  #judge({ detector, through: inside, span: plain }: Finding): void {
    const through = [...this.#hiddenIn, ...inside]
    const span = this.#hiddenIn.length > 0 ? null : plain
    const { name, address, port } = this.#lane.target
    const to = name === null ? (readEndpoint(address ?? '') ?? { name, address: null, port }) : { name, address: null, port }
    const said = this.#outflow.policy.verdictOf(detector, { ...to, port })
    if (said === null) return
    this.#hasFound = true
    const isHere = span !== null && span.start >= this.#before
    // Hidden data has no position in what is sent, and data that began earlier has already left.
    const verdict = said === 'redact' && !isHere ? 'block' : said
    if (verdict === 'redact' && span !== null) this.redactions.push({ start: span.start - this.#before, end: span.end - this.#before })
    if (verdict === 'block') this.#ground ??= this.#groundOf(detector, through)
    const key = `${detector} ${through.join(' ')} ${verdict}`
    if (this.#told.has(key) || this.#told.size >= MAX_TOLD) return
    this.#told.add(key)
    const isTold = this.#outflow.told(this.#lane.target, { detector, place: this.#place, through, verdict })
    if (!isTold) this.#ground ??= { rule: 'dlp:unrecorded', reason: 'what was found could not be recorded' }
  }

  #groundOf(detector: string, through: readonly string[]): Ground {
    const hidden = through.length === 0 ? '' : ` (${through.join(', ')})`
    const what = detector === 'unscannable' ? 'something that cannot be looked into' : `what ${detector} looks for`
    return { rule: `dlp:${detector}`, reason: `${what} was found in the ${this.#place}${hidden}` }
  }
}
