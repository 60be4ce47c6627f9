/** What programs do to texts so that they cannot be read, undone. */
const MAX_RESULT = 65_536

export const reversed = (text: string): string => [...text].reverse().join('')

/** Null: it is none. */
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

export const rot13 = (text: string): string =>
  text.replace(/[a-z]/gi, (letter) => {
    const base = letter <= 'Z' ? 65 : 97
    return String.fromCharCode(((letter.charCodeAt(0) - base + 13) % 26) + base)
  })

const PLAIN: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '0': '\0', a: '\x07', b: '\b', f: '\f', v: '\v', e: '\x1b' }

/** Escapes as C, Python and JavaScript have them. */
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
