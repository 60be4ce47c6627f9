import { brotliDecompressSync, gunzipSync, inflateRawSync, inflateSync } from 'node:zlib'

/** Undoes common obfuscations of texts. */
const MAX_RESULT = 65_536

export const reversed = (text: string): string => [...text].reverse().join('')

/** Null: not base64. */
export function fromBase64(text: string): string | null {
  const plain = text.replace(/\s/g, '')
  return plain.length > 0 && plain.length <= MAX_RESULT && /^[A-Za-z0-9+/_-]+=*$/.test(plain)
    ? Buffer.from(plain, 'base64').toString('latin1')
    : null
}

export function fromHex(text: string): string | null {
  const plain = text.replace(/\s/g, '')
  return plain.length % 2 === 0 && plain.length <= MAX_RESULT && /^[0-9a-f]+$/i.test(plain)
    ? Buffer.from(plain, 'hex').toString('latin1')
    : null
}

export function fromBase32(text: string): string | null {
  const plain = text.replace(/[\s=]/g, '').toUpperCase()
  if (plain === '' || plain.length > MAX_RESULT || !/^[A-Z2-7]+$/.test(plain)) return null
  let [held, bits, result] = [0, 0, '']
  for (const one of plain) {
    held = ((held << 5) | 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(one)) & 0xfff
    bits += 5
    if (bits < 8) continue
    bits -= 8
    result += String.fromCharCode((held >> bits) & 255)
  }
  return result
}

const OF_85 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~'
const OF_ASCII_85 = Array.from({ length: 85 }, (_, at) => String.fromCharCode(33 + at)).join('')

export const fromBase85 = (text: string): string | null => from85(text, OF_85)
export const fromAscii85 = (text: string): string | null => from85(text.replace(/^<~|~>$/g, '').replaceAll('z', '!!!!!'), OF_ASCII_85)

function from85(text: string, alphabet: string): string | null {
  const digits = [...text.replace(/\s/g, '')].map((one) => alphabet.indexOf(one))
  if (digits.length === 0 || digits.length > MAX_RESULT || digits.includes(-1)) return null
  const missing = (5 - (digits.length % 5)) % 5
  const whole = [...digits, ...Array.from({ length: missing }, () => 84)]
  const bytes: number[] = []
  for (let at = 0; at < whole.length; at += 5) {
    const value = whole.slice(at, at + 5).reduce((sum, digit) => sum * 85 + digit, 0)
    bytes.push((value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255)
  }
  return Buffer.from(bytes.slice(0, bytes.length - missing)).toString('latin1')
}

const UNPACKS = { gzip: gunzipSync, zlib: inflateSync, deflate: inflateRawSync, brotli: brotliDecompressSync } as const

/** Null: not compressed that way, or larger than the limit. */
export function unpacked(text: string, way: keyof typeof UNPACKS): string | null {
  try {
    return UNPACKS[way](Buffer.from(text, 'latin1'), { maxOutputLength: MAX_RESULT }).toString('latin1')
  } catch {
    return null
  }
}

export const rot13 = (text: string): string =>
  text.replace(/[a-z]/gi, (letter) => {
    const base = letter <= 'Z' ? 65 : 97
    return String.fromCharCode(((letter.charCodeAt(0) - base + 13) % 26) + base)
  })

/** Null: the result would exceed the limit. */
export function replacedAll(text: string, from: string, to: string): string | null {
  const parts = text.split(from)
  return joinedBy(parts, to)
}

export function joinedBy(parts: readonly (string | number)[], by: string): string | null {
  const size = parts.reduce<number>((sum, part) => sum + String(part).length + by.length, 0)
  return size > 2 * MAX_RESULT ? null : parts.join(by)
}

export function repeated(text: string, count: number): string | null {
  return count >= 0 && Number.isInteger(count) && text.length * count <= MAX_RESULT ? text.repeat(count) : null
}

/** Replaces each character of `from` by the one at its position in `to`, as `tr` and `str.maketrans` do. */
export function translated(text: string, from: string, to: string): string {
  const [keys, values] = [[...from], [...to]]
  const table = new Map(keys.map((key, at) => [key, values[Math.min(at, values.length - 1)] ?? '']))
  return [...text].map((one) => table.get(one) ?? one).join('')
}

const PLAIN: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '0': '\0', a: '\x07', b: '\b', f: '\f', v: '\v', e: '\x1b' }

/** Resolves escapes of C, Python and JavaScript. */
export function unescaped(text: string): string {
  if (!text.includes('\\')) return text
  return text.replace(
    /\\(?:x([0-9a-f]{1,2})|u\{([0-9a-f]{1,6})\}|u([0-9a-f]{4})|U([0-9a-f]{8})|([0-7]{1,3})|(\r?\n)|(.))/gis,
    (whole, ...groups) => {
      const [hex, braced, four, eight, octal, line, other] = groups as (string | undefined)[]
      const code = hex ?? braced ?? four ?? eight
      if (code !== undefined) return character(Number.parseInt(code, 16)) ?? whole
      if (octal !== undefined) return character(Number.parseInt(octal, 8)) ?? whole
      return line === undefined ? (PLAIN[other ?? ''] ?? other ?? '') : ''
    },
  )
}

export function character(code: number): string | null {
  return Number.isInteger(code) && code >= 0 && code <= 0x10ffff ? String.fromCodePoint(code) : null
}
