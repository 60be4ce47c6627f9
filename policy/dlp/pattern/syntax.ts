/** The syntax tree of a pattern: a byte set, a sequence, an alternative, or a repetition. `most` null: unbounded. */
export type Node =
  | { readonly kind: 'byte'; readonly set: ByteSet }
  | { readonly kind: 'sequence'; readonly parts: readonly Node[] }
  | { readonly kind: 'choice'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly part: Node; readonly least: number; readonly most: number | null }

/** 256 flags, one for each byte. */
export type ByteSet = Uint8Array

const MAX_TEXT = 1000
const MAX_REPEAT = 512
const MAX_NESTING = 20
const IGNORE_CASE = '(?i)'
const NOT_HERE: readonly (readonly [RegExp, string])[] = [
  [/^\(\?[=!<]/, 'looking around is not possible in a stream'],
  [/^\(\?/, 'groups are plain: (a|b)'],
  [/^\\[1-9]/, 'references back need more than bounded time'],
  [/^\\[bB]/, 'a boundary is told with `edges`, not with \\b'],
  [/^[\^$]/, 'a stream has no lines to stand at the ends of; write \\^ and \\$ for the characters'],
]
const CLASSES: Readonly<Record<string, string>> = { d: '0-9', w: 'A-Za-z0-9_', s: ' \\t\\n\\r\\x0b\\x0c' }
const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, 0: 0 }

export class PatternError extends Error {}

/**
 * Parses a pattern: literals, `.`, classes, `\d \w \s \xHH`, groups, `|`, `? * + {n} {n,} {n,m}`, and a leading `(?i)`. A finite automaton can match exactly
 * these in one pass, byte by byte. Throws PatternError with the problem and its place.
 */
export function readSyntax(text: string): Node {
  if (text.length > MAX_TEXT) throw new PatternError(`it is longer than ${MAX_TEXT} characters`)
  const ignoresCase = text.startsWith(IGNORE_CASE)
  return new Reader(text, ignoresCase ? IGNORE_CASE.length : 0, ignoresCase).read()
}

class Reader {
  readonly #text: string
  readonly #ignoresCase: boolean
  #at: number
  #nesting = 0

  constructor(text: string, at: number, ignoresCase: boolean) {
    this.#text = text
    this.#at = at
    this.#ignoresCase = ignoresCase
  }

  read(): Node {
    const node = this.#choice()
    if (this.#at < this.#text.length) this.#fail('a bracket closes that was not opened')
    return node
  }

  #choice(): Node {
    const parts = [this.#sequence()]
    while (this.#takes('|')) parts.push(this.#sequence())
    return parts.length === 1 ? (parts[0] as Node) : { kind: 'choice', parts }
  }

  #sequence(): Node {
    const parts: Node[] = []
    while (this.#at < this.#text.length && !'|)'.includes(this.#next)) parts.push(this.#repeated())
    return { kind: 'sequence', parts }
  }

  #repeated(): Node {
    const part = this.#single()
    const times = /^(?:[?*+]|\{(\d{1,4})(?:(,)(\d{1,4})?)?\})/.exec(this.#rest)
    if (times === null) return part
    this.#at += times[0].length
    const [sign, least, comma, most] = times
    if (/^[?*+{]/.test(this.#rest)) this.#fail('one repetition follows another')
    if (sign === '?') return { kind: 'repeat', part, least: 0, most: 1 }
    if (sign === '*' || sign === '+') return { kind: 'repeat', part, least: sign === '*' ? 0 : 1, most: null }
    const from = Number(least)
    const to = most === undefined ? (comma === undefined ? from : null) : Number(most)
    if (to !== null && to < from) this.#fail(`{${from},${to}} has its ends the wrong way round`)
    if (from > MAX_REPEAT || (to ?? 0) > MAX_REPEAT) this.#fail(`no more than ${MAX_REPEAT} repetitions`)
    return { kind: 'repeat', part, least: from, most: to }
  }

  #single(): Node {
    for (const [sign, why] of NOT_HERE) if (sign.test(this.#rest)) this.#fail(why)
    const character = this.#next
    if (character === '(') {
      this.#at += 1
      if (++this.#nesting > MAX_NESTING) this.#fail(`no more than ${MAX_NESTING} groups within one another`)
      const node = this.#choice()
      if (!this.#takes(')')) this.#fail('a bracket is not closed')
      this.#nesting -= 1
      return node
    }
    if (character === '[') return { kind: 'byte', set: this.#class() }
    if ('?*+{'.includes(character)) this.#fail(`${character} has nothing to repeat`)
    if (character === '.') {
      this.#at += 1
      return { kind: 'byte', set: new Uint8Array(256).fill(1).fill(0, 10, 11) }
    }
    const set = new Uint8Array(256)
    const one = this.#character()
    if (typeof one === 'number') this.#add(set, one, one)
    else for (let byte = 0; byte < 256; byte += 1) if (one[byte] === 1) set[byte] = 1
    return { kind: 'byte', set }
  }

  #class(): ByteSet {
    this.#at += 1
    const isInverted = this.#takes('^')
    const set = new Uint8Array(256)
    while (!this.#takes(']')) {
      if (this.#at >= this.#text.length) this.#fail('a class is not closed')
      const first = this.#character()
      if (typeof first !== 'number') {
        for (let byte = 0; byte < 256; byte += 1) if (first[byte] === 1) set[byte] = 1
        continue
      }
      const isRange = /^-[^\]]/.test(this.#rest)
      if (isRange) this.#at += 1
      const last = isRange ? this.#character() : first
      if (typeof last !== 'number' || last < first) this.#fail('a range has its ends the wrong way round')
      this.#add(set, first, last)
    }
    if (isInverted) for (let byte = 0; byte < 256; byte += 1) set[byte] = 1 - (set[byte] as number)
    if (!set.includes(1)) this.#fail('a class is empty')
    return set
  }

  /** A byte, or a class denoted by a letter. */
  #character(): number | ByteSet {
    const escaped = this.#takes('\\')
    const character = this.#next
    if (character === '') this.#fail('it ends in a backslash')
    this.#at += 1
    if (!escaped) {
      const byte = character.charCodeAt(0)
      if (byte > 126) this.#fail('characters beyond ASCII are written as their bytes, \\xHH')
      return byte
    }
    if (character === 'x') {
      const digits = /^[0-9a-fA-F]{2}/.exec(this.#rest)?.[0]
      if (digits === undefined) this.#fail('\\x has two digits behind it')
      this.#at += 2
      return Number.parseInt(digits, 16)
    }
    const inner = CLASSES[character.toLowerCase()]
    if (inner !== undefined) {
      return new Reader(`[${character === character.toLowerCase() ? '' : '^'}${inner}]`, 0, false).#class()
    }
    const control = CONTROLS[character]
    if (control !== undefined) return control
    if (/[A-Za-z0-9]/.test(character)) this.#fail(`\\${character} means nothing here`)
    return character.charCodeAt(0)
  }

  #add(set: ByteSet, first: number, last: number): void {
    for (let byte = first; byte <= last; byte += 1) {
      set[byte] = 1
      if (this.#ignoresCase && /[A-Za-z]/.test(String.fromCharCode(byte))) set[byte ^ 0x20] = 1
    }
  }

  get #next(): string {
    return this.#text[this.#at] ?? ''
  }

  get #rest(): string {
    return this.#text.slice(this.#at)
  }

  #takes(character: string): boolean {
    if (this.#next !== character || character === '') return false
    this.#at += 1
    return true
  }

  #fail(why: string): never {
    throw new PatternError(`${why} (at character ${this.#at + 1})`)
  }
}
