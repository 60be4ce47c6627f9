import { Looking } from './dlp-looking.ts'
import type { Lane, Outflow } from './dlp-outflow.ts'
import type { Span } from './dlp-verdicts.ts'
import type { Ground, Passed, Watch } from './inspect/passage.ts'
import type { Coding } from './search/words.ts'

/** Runs up to this length are held until complete: data sent in small pieces is judged together with what preceded it. */
const WHOLE_BYTES = 4096
const STAR = 0x2a
/** Compression that is detected by its magic bytes, at any nesting level; the outermost coding may also be one of the others. */
const KNOWN_BY_MARK = ['gzip', 'x-gzip', 'identity']
const KNOWN_OUTERMOST = [...KNOWN_BY_MARK, 'deflate', 'br']

/** Watches an outgoing body or message. Its length does not change. */
export class DlpWatch implements Watch {
  readonly keepsLength = true
  readonly #outflow: Outflow
  readonly #lane: Lane
  readonly #place: 'body' | 'message'
  readonly #codings: readonly string[]
  #looking: Looking | null = null
  #held: Buffer = Buffer.alloc(0)
  #passed = 0
  #isWhole: boolean
  /** The whole run, as long as it is small. */
  #said: Buffer | null = Buffer.alloc(0)

  /** `codings`: from Content-Encoding. `lengthBytes`: total length; null: unknown. */
  constructor(
    outflow: Outflow,
    lane: Lane,
    place: 'body' | 'message',
    { codings, lengthBytes }: { codings: readonly string[]; lengthBytes: number | null },
  ) {
    this.#outflow = outflow
    this.#lane = lane
    this.#place = place
    this.#codings = codings
    // A WebSocket message either ends soon or is long.
    this.#isWhole = place === 'message' || (lengthBytes !== null && lengthBytes <= WHOLE_BYTES)
  }

  async chunk(bytes: Buffer): Promise<Passed> {
    if (bytes.length === 0) return bytes
    const over = this.#outflow.budgets.spend(this.#lane.target, bytes.length)
    if (over !== null) return over
    const { looking, ground: unknown } = this.#begun()
    // Done before the verdict, because a concurrent request may continue this data.
    this.#outflow.remember(this.#lane, bytes)
    // A copy, because values in it may be masked.
    this.#held = Buffer.concat([this.#held, bytes])
    const ground = unknown ?? (await looking.write(bytes))
    if (ground !== null) return ground
    this.#said = this.#said === null || this.#said.length + bytes.length > WHOLE_BYTES ? null : Buffer.concat([this.#said, bytes])
    if (this.#isWhole && this.#held.length <= WHOLE_BYTES) return Buffer.alloc(0)
    this.#isWhole = false
    return this.#release(this.#held.length - Math.min(this.#held.length, looking.heldBytes))
  }

  async end(): Promise<Passed> {
    // Nothing has been sent, so there is nothing to find.
    if (this.#looking === null) return Buffer.alloc(0)
    const found =
      (await this.#looking.settle()) ??
      (this.#said === null ? null : await joinedGround(this.#outflow, this.#lane, this.#place, this.#said))
    return found ?? this.#release(this.#held.length)
  }

  close(): void {
    this.#looking?.close()
  }

  #begun(): { looking: Looking; ground: Ground | null } {
    if (this.#looking !== null) return { looking: this.#looking, ground: null }
    const coding = this.#codings.filter((one) => one !== 'identity').at(-1) ?? ''
    const looking = new Looking(this.#outflow, this.#lane, this.#place, {
      coding: unmarked(coding),
      codingName: coding,
      before: this.#lane.tail,
    })
    this.#looking = looking
    return { looking, ground: isKnown(this.#codings) ? null : looking.unscannable(this.#codings.join(', ')) }
  }

  #release(count: number): Buffer {
    for (const span of this.#looking?.redactions.splice(0) ?? [])
      mask(this.#held, { start: span.start - this.#passed, end: span.end - this.#passed })
    const out = this.#held.subarray(0, count)
    this.#held = this.#held.subarray(count)
    this.#passed += count
    return out
  }
}

/** Brotli has no magic bytes, and DEFLATE may come without its header. */
function unmarked(coding: string): Coding | null {
  return coding === 'br' || coding === 'deflate' ? coding : null
}

function isKnown(codings: readonly string[]): boolean {
  const outermost = codings.at(-1)
  return (
    (outermost === undefined || KNOWN_OUTERMOST.includes(outermost)) &&
    codings.slice(0, -1).every((coding) => KNOWN_BY_MARK.includes(coding))
  )
}

export function mask(bytes: Buffer, { start, end }: Span): void {
  bytes.fill(STAR, Math.max(0, start), Math.max(0, end))
}

/** Joins what successive similar messages contain in the same places, and judges it. One message at a time, since each is added to what the last one left. */
export function joinedGround(outflow: Outflow, lane: Lane, place: 'url' | 'body' | 'message', said: Buffer): Promise<Ground | null> {
  return lane.inTurn(async () => {
    for (const joined of lane.columns[place].add(said.toString('latin1'))) {
      const looking = new Looking(outflow, lane, place, { which: 'joining' })
      const ground = (await looking.write(Buffer.from(joined, 'latin1'))) ?? (await looking.settle())
      looking.close()
      if (ground === null) continue
      lane.columns[place].undo()
      return { ...ground, reason: `${ground.reason}, in pieces over several of them` }
    }
    return null
  })
}
