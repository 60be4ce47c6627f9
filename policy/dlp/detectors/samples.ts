const DIGITS = '0123456789'
const LOWER = 'abcdefghijklmnopqrstuvwxyz'
const ALPHABETS = {
  digits: DIGITS,
  hex: `${DIGITS}abcdef`,
  base32: `${LOWER.toUpperCase()}234567`,
  upper: LOWER.toUpperCase() + DIGITS,
  lower: LOWER + DIGITS,
  letters: LOWER + LOWER.toUpperCase(),
  word: LOWER + LOWER.toUpperCase() + DIGITS,
} as const

/** A deterministic text in the form of a token's body, but not a token. */
export function sample(alphabet: keyof typeof ALPHABETS, length: number, seed = 1): string {
  const characters = ALPHABETS[alphabet]
  let state = (seed * 2_654_435_761) >>> 0
  let out = ''
  for (let at = 0; at < length; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    out += characters[Math.floor((state / 2 ** 32) * characters.length)]
  }
  return out
}
