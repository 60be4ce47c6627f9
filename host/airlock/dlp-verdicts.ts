import { type Finding, type Rules, readEndpoint, Scanner } from '@caisson/policy'
import type { DlpPlace } from '@caisson/wire'
import type { Lane, Outflow } from './dlp-outflow.ts'
import type { Ground } from './inspect/passage.ts'

/** Findings that one run of bytes is told of in the log; the first of them are enough to know what it was. */
const MAX_TOLD = 32
/** A hold of fewer bytes is not worth a stalled conversation: they are the constant beginnings of what is looked for. */
const LEAST_HELD = 4

export type Span = NonNullable<Finding['span']>

/** One run of bytes on its way out: what is found in it, and what is done about it. */
export class Looking {
  readonly #outflow: Outflow
  readonly #lane: Lane
  readonly #place: DlpPlace
  readonly #scanner: Scanner
  readonly #told = new Set<string>()
  readonly redactions: Span[] = []
  /** What was said before this run began, in bytes: places are counted from there. */
  #before = 0
  #ground: Ground | null = null
  #isPrimed = true
  #hasFound = false
  #hiddenIn: readonly string[] = []

  constructor(outflow: Outflow, lane: Lane, place: DlpPlace, rules: Rules = outflow.policy.rules) {
    this.#outflow = outflow
    this.#lane = lane
    this.#place = place
    this.#scanner = new Scanner(rules, outflow.watch, (finding) => this.#found(finding))
  }

  /** What went before, in other requests: it has been judged, and only what goes on in this one counts. */
  prime(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#isPrimed = false
    this.#scanner.write(bytes)
    this.#scanner.broken()
    this.#before = bytes.length
    this.#isPrimed = true
  }

  /** Null: nothing that must not leave. */
  write(bytes: Uint8Array): Ground | null {
    this.#scanner.write(bytes)
    return this.#ground
  }

  /** What was found when something was unpacked. */
  writeHidden(bytes: Uint8Array, coding: string): Ground | null {
    this.#hiddenIn = [coding]
    return this.write(bytes)
  }

  settle(): Ground | null {
    this.#scanner.settle()
    return this.#ground
  }

  /** Whether anything was found, whatever is done about it: then the log must not quote what was looked at. */
  get hasFound(): boolean {
    return this.#hasFound
  }

  get heldBytes(): number {
    const held = this.#scanner.heldBytes
    return held < LEAST_HELD ? 0 : held
  }

  unscannable(what: string): Ground | null {
    this.#found({ detector: 'unscannable', through: [what], span: null })
    return this.#ground
  }

  #found({ detector, through: inside, span: plain }: Finding): void {
    if (!this.#isPrimed) return
    const through = [...this.#hiddenIn, ...inside]
    const span = this.#hiddenIn.length > 0 ? null : plain
    const { name, address, port } = this.#lane.target
    const to = name === null ? (readEndpoint(address ?? '') ?? { name, address: null, port }) : { name, address: null, port }
    const said = this.#outflow.policy.verdictOf(detector, { ...to, port })
    if (said === null) return
    this.#hasFound = true
    const isHere = span !== null && span.start >= this.#before
    // What is hidden has no place of its own in what is sent, and what began before has left.
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
