const INSTEAD = '[redacted]'
/** Shorter ones stand on every screen (native/audit/src/redaction.rs has the same bound). */
const LEAST_CHARACTERS = 6
const MAX_VALUES = 4096

/** Takes values that are known out of a stream of text, in whatever pieces it comes. What may be the beginning of one is held back until it is known. */
export class TakingOut {
  readonly #values: readonly string[]
  readonly #any: RegExp | undefined
  /** First characters of values: nothing is held back from anywhere else. */
  readonly #firsts: ReadonlySet<string>
  readonly #longest: number
  #held = ''

  constructor(known: readonly string[]) {
    // A terminal ends lines with both.
    const all = known.flatMap((value) => [value, value.replaceAll(/\r?\n/g, '\r\n')])
    const values = [...new Set(all)].filter(({ length }) => length >= LEAST_CHARACTERS).slice(0, MAX_VALUES)
    // Of two that begin alike the longer one.
    this.#values = values.sort((one, other) => other.length - one.length)
    this.#any = values.length === 0 ? undefined : new RegExp(this.#values.map(literal).join('|'), 'g')
    this.#firsts = new Set(values.map((value) => value.charAt(0)))
    this.#longest = this.#values[0]?.length ?? 0
  }

  /** What of it may be written by now. */
  next(piece: string): string {
    if (this.#any === undefined) return piece
    const text = (this.#held + piece).replaceAll(this.#any, INSTEAD)
    const from = this.#beginning(text)
    this.#held = text.slice(from)
    return text.slice(0, from)
  }

  /** The rest, when nothing more comes. */
  end(): string {
    const rest = this.#held
    this.#held = ''
    return rest
  }

  /** Where the longest end of it stands that a value begins with. */
  #beginning(text: string): number {
    for (let from = Math.max(0, text.length - this.#longest + 1); from < text.length; from += 1) {
      if (!this.#firsts.has(text.charAt(from))) continue
      const end = text.slice(from)
      if (this.#values.some((value) => value.length > end.length && value.startsWith(end))) return from
    }
    return text.length
  }
}

function literal(value: string): string {
  return value.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
}
