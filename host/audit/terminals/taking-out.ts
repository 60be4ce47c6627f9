import { Words } from './words.ts'

const INSTEAD = '[redacted]'
/** Shorter values occur on every screen (native/audit/src/redaction.rs has the same bound). */
const LEAST_CHARACTERS = 6

/** A range that must not be shown. */
interface Hidden {
  readonly from: number
  to: number
}

/** Removes known values from a stream of text, however it is split. Text that may be the start of one is held back until that is known. */
export class TakingOut {
  readonly #words: Words | undefined
  #place = 0
  #held = ''
  /** Ranges within the held text; those that no later match can precede are gone. */
  #hidden: Hidden[] = []
  /** How much of the held text is hidden and already replaced by the marker. */
  #said = 0

  constructor(known: readonly string[]) {
    // A terminal ends lines with CR LF.
    const all = known.flatMap((value) => [value, value.replaceAll(/\r?\n/g, '\r\n')])
    const values = [...new Set(all)].filter(({ length }) => length >= LEAST_CHARACTERS)
    this.#words = values.length === 0 ? undefined : new Words(values)
  }

  /** The part that can be written now. */
  next(piece: string): string {
    const words = this.#words
    if (words === undefined) return piece
    const text = this.#held + piece
    for (let at = this.#held.length; at < text.length; at += 1) {
      this.#place = words.next(this.#place, text.charCodeAt(at))
      const length = words.found(this.#place)
      if (length > 0) this.#hide(at + 1 - length, at + 1)
    }
    return this.#leave(text, text.length - words.depth(this.#place))
  }

  /** The rest, at the end of the stream. */
  end(): string {
    return this.#leave(this.#held, this.#held.length)
  }

  /** Ranges come in the order of their ends; overlapping ones are merged. */
  #hide(from: number, to: number): void {
    while ((this.#hidden.at(-1)?.from ?? -1) >= from) this.#hidden.pop()
    const last = this.#hidden.at(-1)
    if (last !== undefined && last.to > from) last.to = to
    else this.#hidden.push({ from, to })
  }

  /** No later match can start before `sure`. */
  #leave(text: string, sure: number): string {
    let shown = ''
    let done = this.#said
    let left = 0
    for (const { from, to } of this.#hidden) {
      if (from >= sure) break
      left += 1
      // Otherwise it continues a range whose marker was already written.
      if (from >= done) shown += text.slice(done, from) + INSTEAD
      done = Math.max(done, to)
    }
    if (done < sure) shown += text.slice(done, sure)
    this.#said = Math.max(0, done - sure)
    this.#held = text.slice(sure)
    this.#hidden = this.#hidden.slice(left).map(({ from, to }) => ({ from: from - sure, to: to - sure }))
    return shown
  }
}
