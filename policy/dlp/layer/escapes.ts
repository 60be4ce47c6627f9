import { REACH_BYTES } from '../pattern/positions.ts'
import type { Decoder, Inner, OpenInner } from './decoder.ts'

/** After this many bytes without an escape, the plain layer suffices: the longest match, hex-encoded twice. */
const CLOSE_AFTER_BYTES = 4 * REACH_BYTES
const PERCENT = 0x25
const BACKSLASH = 0x5c
/** `\u0041` */
const LONGEST_ESCAPE = 6
const NAMED: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, b: 8, f: 12, '/': 47, '"': 34, "'": 39, '\\': 92, '0': 0 }

/** Decodes `%41`, `\u0041`, `\x41` and JSON's short escapes, together with the unescaped text around them. */
export class Escapes implements Decoder {
  readonly #open: OpenInner
  /** Returns a limited number of earlier bytes of its layer. */
  readonly #before: () => Uint8Array
  #inner: Inner | null | undefined
  #isOpen = false
  #begun = ''
  #plain = 0

  constructor(open: OpenInner, before: () => Uint8Array) {
    this.#open = open
    this.#before = before
  }

  feed(bytes: Uint8Array): void {
    if (!this.#isOpen) {
      if (!hasEscape(bytes)) return
      this.#inner ??= this.#open('escapes')
      this.#isOpen = true
      this.#plain = 0
      this.#inner?.write(this.#before())
    }
    this.#plain += bytes.length
    const out = new Uint8Array(bytes.length + 3 * LONGEST_ESCAPE)
    let length = 0
    for (let at = 0; at < bytes.length; ) {
      if (this.#begun === '') {
        const next = nextSign(bytes, at)
        out.set(bytes.subarray(at, next), length)
        length += next - at
        at = next + 1
        if (next < bytes.length) this.#begun = String.fromCharCode(bytes[next] as number)
        continue
      }
      const byte = bytes[at] as number
      const said = this.#begun + String.fromCharCode(byte)
      const bytesOf = bytesMeant(said)
      if (bytesOf === 'more') {
        this.#begun = said
        at += 1
        continue
      }
      // An invalid escape stands for itself, and its last byte may start another one.
      const isEscape = bytesOf !== 'none'
      const meant = isEscape ? bytesOf : [...this.#begun].map((character) => character.charCodeAt(0))
      out.set(meant, length)
      length += meant.length
      this.#begun = ''
      if (isEscape) {
        at += 1
        this.#plain = bytes.length - at
      }
    }
    this.#inner?.write(out.subarray(0, length))
    // What has begun here is also found in the plain layer, except data that is being unpacked.
    if (this.#plain > CLOSE_AFTER_BYTES && this.#begun === '' && !this.isUnpacking) this.restart()
  }

  settle(): void {
    if (this.#isOpen) this.#inner?.settle()
  }

  broken(): void {
    if (this.#isOpen) this.#inner?.broken()
  }

  restart(): void {
    if (this.#isOpen) this.#inner?.restart()
    this.#isOpen = false
    this.#begun = ''
  }

  get isUnpacking(): boolean {
    return this.#isOpen && this.#inner?.isUnpacking === true
  }

  get heldBytes(): number {
    if (!this.#isOpen) return 0
    const inner = this.#inner?.heldBytes ?? 0
    return inner === 0 ? 0 : inner * LONGEST_ESCAPE + this.#begun.length
  }
}

/** Position of the next possible escape, or the end. */
function nextSign(bytes: Uint8Array, from: number): number {
  let at = from
  while (at < bytes.length && bytes[at] !== PERCENT && bytes[at] !== BACKSLASH) at += 1
  return at
}

/** Whether there is an escape, or the start of one at the end. */
function hasEscape(bytes: Uint8Array): boolean {
  for (let at = nextSign(bytes, 0); at < bytes.length; at = nextSign(bytes, at + 1)) {
    for (let end = at + 2; ; end += 1) {
      const meaning = end > bytes.length ? 'more' : meaningOf(String.fromCharCode(...bytes.subarray(at, end)))
      if (meaning === 'none') break
      if (meaning !== 'more' || end > bytes.length) return true
    }
  }
  return false
}

/** The bytes that an escape stands for; `more`: it is incomplete. */
export function bytesMeant(said: string): number[] | 'more' | 'none' {
  const code = meaningOf(said)
  return typeof code === 'string' ? code : utf8(code)
}

function meaningOf(said: string): number | 'more' | 'none' {
  if (said.startsWith('%')) {
    if (/^%[0-9a-fA-F]{2}$/.test(said)) return Number.parseInt(said.slice(1), 16)
    return /^%[0-9a-fA-F]?$/.test(said) ? 'more' : 'none'
  }
  const kind = said[1] as string
  if (kind === 'u' || kind === 'x') {
    const digits = kind === 'u' ? 4 : 2
    if (!/^..[0-9a-fA-F]*$/.test(said)) return 'none'
    return said.length < digits + 2 ? 'more' : Number.parseInt(said.slice(2), 16) + (kind === 'u' ? WIDE : 0)
  }
  return NAMED[kind] ?? 'none'
}

/** `\u00e9` is a character of two bytes; `%e9` is a single byte. */
const WIDE = 0x10000

function utf8(code: number): number[] {
  const character = code - WIDE
  if (character < 0) return [code]
  if (character < 0x80) return [character]
  if (character < 0x800) return [0xc0 | (character >> 6), 0x80 | (character & 63)]
  return [0xe0 | (character >> 12), 0x80 | ((character >> 6) & 63), 0x80 | (character & 63)]
}
