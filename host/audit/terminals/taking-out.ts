import { Words } from './words.ts'

const INSTEAD = '[redacted]'
/** Shorter ones stand on every screen (native/audit/src/redaction.rs has the same bound). */
const LEAST_CHARACTERS = 6

/** A stretch that is not to be shown. */
interface Hidden {
  readonly from: number
  to: number
}

/** Takes values that are known out of a stream of text, in whatever pieces it comes. What may be the beginning of one is held back until it is known. */
export class TakingOut {
  readonly #words: Words | undefined
  #place = 0
  #held = ''
  /** Within what is held: those that nothing begins before any more have left. */
  #hidden: Hidden[] = []
  /** So much of what is held is hidden, and that has been said. */
  #said = 0

  constructor(known: readonly string[]) {
    // A terminal ends lines with both.
    const all = known.flatMap((value) => [value, value.replaceAll(/\r?\n/g, '\r\n')])
    const values = [...new Set(all)].filter(({ length }) => length >= LEAST_CHARACTERS)
    this.#words = values.length === 0 ? undefined : new Words(values)
  }

  /** What of it may be written by now. */
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

  /** The rest, when nothing more comes. */
  end(): string {
    return this.#leave(this.#held, this.#held.length)
  }

  /** Stretches come in the order of their ends; those that overlap are one. */
  #hide(from: number, to: number): void {
    while ((this.#hidden.at(-1)?.from ?? -1) >= from) this.#hidden.pop()
    const last = this.#hidden.at(-1)
    if (last !== undefined && last.to > from) last.to = to
    else this.#hidden.push({ from, to })
  }

  /** Nothing that is still to be found begins before `sure`. */
  #leave(text: string, sure: number): string {
    let shown = ''
    let done = this.#said
    let left = 0
    for (const { from, to } of this.#hidden) {
      if (from >= sure) break
      left += 1
      // It goes on where another has been said already.
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
