import type { Decoder, Inner, OpenInner } from './decoder.ts'

/** Without an escape for so long, the plain bytes are all that there is. */
const CLOSE_AFTER_BYTES = 4096
const PERCENT = 0x25
const BACKSLASH = 0x5c
/** `\u0041` */
const LONGEST_ESCAPE = 6
const NAMED: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, b: 8, f: 12, '/': 47, '"': 34, "'": 39, '\\': 92, '0': 0 }

/** `%41`, `\u0041`, `\x41` and the short ones of JSON: the same bytes as they would be read, what is not escaped with them. */
export class Escapes implements Decoder {
  readonly #open: OpenInner
  /** Up to so many bytes of what its layer was fed before. */
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
      if (!bytes.includes(BACKSLASH) && !bytes.includes(PERCENT)) return
      this.#inner ??= this.#open('escapes')
      this.#isOpen = true
      this.#plain = 0
      this.#inner?.write(this.#before())
    }
    const out = new Uint8Array(bytes.length + 3 * LONGEST_ESCAPE)
    let length = 0
    const put = (...codes: number[]): void => {
      for (const code of codes) {
        out[length] = code
        length += 1
      }
    }
    this.#plain += bytes.length
    for (let at = 0; at < bytes.length; at += 1) {
      const byte = bytes[at] as number
      if (this.#begun === '') {
        if (byte === PERCENT || byte === BACKSLASH) this.#begun = String.fromCharCode(byte)
        else {
          out[length] = byte
          length += 1
        }
        continue
      }
      const said = this.#begun + String.fromCharCode(byte)
      const code = meaningOf(said)
      if (code === 'more') {
        this.#begun = said
        continue
      }
      this.#begun = ''
      if (code !== 'none') {
        this.#plain = bytes.length - at
        put(...utf8(code))
        continue
      }
      put(...[...said.slice(0, -1)].map((character) => character.charCodeAt(0)))
      // It may begin the next one.
      if (byte === PERCENT || byte === BACKSLASH) this.#begun = String.fromCharCode(byte)
      else put(byte)
    }
    this.#inner?.write(out.subarray(0, length))
    if (this.#plain > CLOSE_AFTER_BYTES && this.#begun === '') this.restart()
  }

  settle(): void {
    if (this.#isOpen) this.#inner?.settle()
  }

  broken(): void {
    if (this.#isOpen) this.#inner?.broken()
  }

  restart(): void {
    if (this.#isOpen) {
      this.#inner?.settle()
      this.#inner?.restart()
    }
    this.#isOpen = false
    this.#begun = ''
  }

  get heldBytes(): number {
    if (!this.#isOpen) return 0
    const inner = this.#inner?.heldBytes ?? 0
    return inner === 0 ? 0 : inner * LONGEST_ESCAPE + this.#begun.length
  }
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

/** `\u00e9` is a character, which is two bytes; `%e9` is a byte. */
const WIDE = 0x10000

function utf8(code: number): number[] {
  const character = code - WIDE
  if (character < 0) return [code]
  if (character < 0x80) return [character]
  if (character < 0x800) return [0xc0 | (character >> 6), 0x80 | (character & 63)]
  return [0xe0 | (character >> 12), 0x80 | ((character >> 6) & 63), 0x80 | (character & 63)]
}
