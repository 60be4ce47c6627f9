import type { Place } from '../layer/layer.ts'
import { digitsOf, isLuhn, mod97 } from './checks.ts'
import { numbers } from './family.ts'

/** Card issuers: range of first digits, and valid lengths. */
const ISSUERS: readonly (readonly [from: number, to: number, lengths: readonly number[]])[] = [
  [4, 4, [16]],
  [51, 55, [16]],
  [2221, 2720, [16]],
  [34, 34, [15]],
  [37, 37, [15]],
  [6011, 6011, [16, 19]],
  [644, 649, [16, 19]],
  [65, 65, [16, 19]],
  [3528, 3589, [16, 19]],
  [300, 305, [14, 16]],
  [36, 36, [14]],
  [38, 39, [14, 16]],
  [62, 62, [16, 19]],
  [50, 50, [16]],
  [5610, 5610, [16]],
  [56, 58, [16]],
  [6304, 6304, [16]],
  [67, 67, [16]],
]
/** The usual groupings: 4-4-4-4, 4-6-5, 4-6-4. Nineteen digits in a row are a database id; one in ten has a correct check digit. */
const GROUPS = /^(\d{14,16}|\d{4}([ +-])\d{4}\2\d{4}\2\d{4}(\2\d{3})?|\d{4}([ +-])\d{6}\4\d{4,5})$/
/** Countries with IBANs, and the lengths of these. */
const IBANS: Readonly<Record<string, number>> = {
  ...{ AD: 24, AE: 23, AT: 20, BE: 16, BG: 22, CH: 21, CY: 28, CZ: 24, DE: 22, DK: 18, EE: 20, ES: 24, FI: 18, FR: 27, GB: 22, GR: 27 },
  ...{ HR: 21, HU: 28, IE: 22, IL: 23, IS: 26, IT: 27, LI: 21, LT: 20, LU: 20, LV: 21, MC: 27, MT: 31, NL: 18, NO: 15, PL: 28, PT: 25 },
  ...{ RO: 24, RS: 22, SA: 24, SE: 24, SI: 19, SK: 24, TR: 26, UA: 29 },
}

/** Payment card and account numbers. */
export const money = numbers(
  {
    name: 'card-number',
    finds: 'the number of a payment card',
    patterns: ['[2-6][0-9]([ +-]?[0-9]){12,17}'],
    check: isCard,
    examples: {
      match: [
        `4111${'1111'.repeat(3)}`,
        `4111 ${'1111 '.repeat(3)}`,
        `37${'8282'}246310005`,
        `5555-${'5555-5555'}-4444`,
        `card:6011${'1111'}11111117,`,
      ],
      not: [
        `4111${'1111'}11111112`,
        `${'4111'}-1111111-11111`,
        `0.4111${'1111'.repeat(3)}`,
        '4444444444444444',
        `id4111${'1111'.repeat(3)}`,
      ],
    },
  },
  {
    name: 'iban',
    finds: 'the number of a bank account (IBAN)',
    patterns: ['[A-Z]{2}[0-9]{2}([ +]?[A-Z0-9]{4}){2,7}([ +]?[A-Z0-9]{1,3})?'],
    check: (value) => isIban(value.replaceAll(/[ +]/g, '')),
    examples: {
      match: [`DE89${'3704'}0044053201 3000`.replace(' ', ''), `GB29 NWBK 6016 ${'1331'} 9268 19`],
      not: [`DE88${'3704'}00440532013000`, 'XX12 3456 7890 1234', 'GB29NWBK'],
    },
  },
)

function isCard(value: string, { before, after }: Pick<Place, 'before' | 'after'>): boolean {
  // Part of a fraction, a version, or something longer.
  if ([before, after].some((byte) => byte === 0x2d || byte === 0x2f) || before === 0x2e || !GROUPS.test(value)) return false
  const digits = digitsOf(value)
  const number = digits.join('')
  const isIssued = ISSUERS.some(([from, to, lengths]) => {
    const head = Number(number.slice(0, String(from).length))
    return head >= from && head <= to && lengths.includes(digits.length)
  })
  return isIssued && isLuhn(digits)
}

function isIban(value: string): boolean {
  return IBANS[value.slice(0, 2)] === value.length && mod97(value.slice(4) + value.slice(0, 4)) === 1
}
