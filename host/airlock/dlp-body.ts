import { brotliDecompressSync, inflateRawSync } from 'node:zlib'
import type { Lane, Outflow } from './dlp-outflow.ts'
import { Looking, type Span } from './dlp-verdicts.ts'
import type { Ground, Passed, Watch } from './inspect/passage.ts'

/** As long as this, a run is held until all of it is known: what is sent in small pieces is judged with what went before. */
const WHOLE_BYTES = 4096
/** Of what can only be unpacked as a whole; and of what comes out of it. */
const MAX_PACKED_BYTES = 1024 * 1024
const MAX_UNPACKED_BYTES = 32 * 1024 * 1024
const STAR = 0x2a
const ZLIB = 0x78
/** Compression that is found by its first bytes, wherever it stands; and the one that may be the outermost besides. */
const KNOWN_BY_MARK = ['gzip', 'x-gzip', 'identity']
const KNOWN_OUTERMOST = [...KNOWN_BY_MARK, 'deflate', 'br']

/** A body or a message on its way out. As many bytes leave as came. */
export class DlpWatch implements Watch {
  readonly keepsLength = true
  readonly #outflow: Outflow
  readonly #lane: Lane
  readonly #place: 'body' | 'message'
  readonly #looking: Looking
  readonly #coding: string | null
  #held: Buffer = Buffer.alloc(0)
  #passed = 0
  #isWhole: boolean
  /** All of it, as long as it is small. */
  #said: Buffer | null = Buffer.alloc(0)

  /** `codings`: of Content-Encoding. `lengthBytes`: of the whole; null: nobody knows. */
  constructor(
    outflow: Outflow,
    lane: Lane,
    place: 'body' | 'message',
    { codings, lengthBytes }: { codings: readonly string[]; lengthBytes: number | null },
  ) {
    this.#outflow = outflow
    this.#lane = lane
    this.#place = place
    this.#looking = new Looking(outflow, lane, place)
    this.#coding = codings.filter((coding) => coding !== 'identity').at(-1) ?? null
    // A message of a web socket ends soon, or is long.
    this.#isWhole = place === 'message' || (lengthBytes !== null && lengthBytes <= WHOLE_BYTES)
    this.#looking.prime(lane.tail)
    if (!isKnown(codings)) this.#looking.unscannable(codings.join(', '))
  }

  chunk(bytes: Buffer): Passed {
    const over = this.#outflow.spend(this.#lane.target, bytes.length)
    if (over !== null) return over
    // A copy: values in it may be masked.
    this.#held = Buffer.concat([this.#held, bytes])
    if (this.#isPackedAsWhole()) return this.#held.length > MAX_PACKED_BYTES ? this.#tooLarge() : Buffer.alloc(0)
    const ground = this.#looking.write(bytes)
    if (ground !== null) return ground
    this.#outflow.remember(this.#lane, bytes)
    this.#said = this.#said === null || this.#said.length + bytes.length > WHOLE_BYTES ? null : Buffer.concat([this.#said, bytes])
    if (this.#isWhole && this.#held.length <= WHOLE_BYTES) return Buffer.alloc(0)
    this.#isWhole = false
    return this.#release(this.#held.length - Math.min(this.#held.length, this.#looking.heldBytes))
  }

  end(): Passed {
    const ground = this.#isPackedAsWhole() ? this.#unpacked() : null
    const found =
      ground ?? this.#looking.settle() ?? (this.#said === null ? null : joinedGround(this.#outflow, this.#lane, this.#place, this.#said))
    return found ?? this.#release(this.#held.length)
  }

  /** Brotli has no mark, and neither has DEFLATE without its header. */
  #isPackedAsWhole(): boolean {
    if (this.#coding === 'br') return true
    return this.#coding === 'deflate' && this.#passed === 0 && this.#held.length > 0 && (this.#held[0] as number) % 16 !== ZLIB % 16
  }

  #tooLarge(): Passed {
    return this.#looking.unscannable(`${this.#coding} of more than ${MAX_PACKED_BYTES} bytes`) ?? this.#release(this.#held.length)
  }

  #unpacked(): Ground | null {
    if (this.#held.length === 0) return null
    try {
      const unpack = this.#coding === 'br' ? brotliDecompressSync : inflateRawSync
      return this.#looking.writeHidden(unpack(this.#held, { maxOutputLength: MAX_UNPACKED_BYTES }), `${this.#coding}`)
    } catch {
      return this.#looking.unscannable(`${this.#coding}`)
    }
  }

  #release(count: number): Buffer {
    for (const span of this.#looking.redactions.splice(0))
      mask(this.#held, { start: span.start - this.#passed, end: span.end - this.#passed })
    const out = this.#held.subarray(0, count)
    this.#held = this.#held.subarray(count)
    this.#passed += count
    return out
  }
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

/** What the same message says in the same places, one time after the other, taken together. */
export function joinedGround(outflow: Outflow, lane: Lane, place: 'url' | 'body' | 'message', said: Buffer): Ground | null {
  for (const joined of lane.columns[place].add(said.toString('latin1'))) {
    const looking = new Looking(outflow, lane, place, outflow.policy.joining)
    const ground = looking.write(Buffer.from(joined, 'latin1')) ?? looking.settle()
    if (ground === null) continue
    lane.columns[place].undo()
    return { ...ground, reason: `${ground.reason}, in pieces over several of them` }
  }
  return null
}
