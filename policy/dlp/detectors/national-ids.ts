import { digitsOf, isDay, isLuhn, isVerhoeff, mod11And10, weighted } from './checks.ts'
import { numbers } from './family.ts'

const DNI = 'TRWAGMYFPDXBNJZSQVHLCKE'
const HETU = '0123456789ABCDEFHJKLMNPRSTUVWXY'
const FISCAL_ODD = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23]
/** Requires a label before the number, where the check digit is not enough; allows a few characters between the two. */
const named = (word: string, digits: string): string => `(?i)(${word})[^0-9A-Za-z]{1,3}([a-z]{1,6}[^0-9A-Za-z]{1,3})?${digits}`
const last = (value: string, count: number): number[] => digitsOf(value).slice(-count)

/** National identification numbers: by check digit where they have one, otherwise by a label beside them. */
export const nationalIds = numbers(
  {
    name: 'us-ssn',
    finds: 'a social security number (United States)',
    patterns: ['[0-9]{3}-[0-9]{2}-[0-9]{4}', named('ssn|social security|social-security', '[0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{4}')],
    check: (value) => {
      const [area, group, serial] = [/^(\d{3})(\d{2})(\d{4})$/.exec(last(value, 9).join(''))].flatMap((form) => form?.slice(1) ?? [])
      return area !== undefined && !/^(000|666|9)/.test(area) && group !== '00' && serial !== '0000'
    },
    examples: { match: ['532-11-8712', `ssn: 53211${'8712'}`], not: ['000-11-8712', '532118712', '2532-11-8712', '912-11-8712'] },
  },
  {
    name: 'gb-nino',
    finds: 'a national insurance number (United Kingdom)',
    patterns: [
      '[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ +][0-9]{2}[ +][0-9]{2}[ +][0-9]{2}[ +][A-D]',
      named('nino|national insurance|ni number|ni no', '[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][0-9]{6}[A-D]'),
    ],
    check: (value) => !/(BG|GB|NK|KN|TN|NT|ZZ)[ +\d]+[A-D]$/i.test(value),
    examples: { match: ['AB 12 34 56 C', 'NINO: AB123456C'], not: ['GB 12 34 56 C', 'part AB123456C'] },
  },
  {
    name: 'de-tax-id',
    finds: 'a tax identification number (Germany)',
    patterns: ['[1-9][0-9]{10}', '[1-9][0-9][ +][0-9]{3}[ +][0-9]{3}[ +][0-9]{3}'],
    check: (value) => {
      const digits = digitsOf(value)
      const counts = [...new Set(digits.slice(0, 10))].map((digit) => digits.slice(0, 10).filter((one) => one === digit).length)
      const repeated = counts.filter((count) => count > 1)
      return repeated.length === 1 && (repeated[0] as number) <= 3 && mod11And10(digits.slice(0, 10)) % 10 === digits[10]
    },
    examples: { match: [`8609${'574'}2719`, '47 036 892 816'], not: [`8609${'574'}2718`, '12345678901'] },
  },
  {
    name: 'fr-nir',
    finds: 'a social security number (France)',
    patterns: ['[12][ +]?[0-9]{2}[ +]?(0[1-9]|1[0-2])[ +]?[0-9][0-9AB][ +]?[0-9]{3}[ +]?[0-9]{3}[ +]?[0-9]{2}'],
    check: (value) => {
      const text = value.replaceAll(/[ +]/g, '').replace('2A', '19').replace('2B', '18')
      return /^\d{15}$/.test(text) && 97 - (Number(text.slice(0, 13)) % 97) === Number(text.slice(13))
    },
    examples: { match: [`2 55 08 14 ${'168'} 025 38`, `2550814${'168'}02538`], not: ['255081416802539', '255131416802538'] },
  },
  {
    name: 'es-dni',
    finds: 'a DNI or NIE (Spain)',
    patterns: ['[0-9]{8}-?[A-Z]', '[XYZ]-?[0-9]{7}-?[A-Z]'],
    check: (value) => {
      const text = value.replaceAll('-', '').replace(/^[XYZ]/, (letter) => String('XYZ'.indexOf(letter)))
      return DNI[Number(text.slice(0, 8)) % 23] === text[8]
    },
    examples: { match: [`1234${'5678'}Z`, `X${'123'}4567L`], not: ['12345678A', '12345678z'] },
  },
  {
    name: 'it-codice-fiscale',
    finds: 'a codice fiscale (Italy)',
    patterns: ['[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]'],
    check: (value) => {
      const sum = [...value.slice(0, 15)].reduce((total, character, index) => {
        const code = Number.parseInt(character, 36)
        const order = code < 10 ? code : code - 10
        return total + (index % 2 === 0 ? (FISCAL_ODD[order] as number) : order)
      }, 0)
      return String.fromCharCode(65 + (sum % 26)) === value[15]
    },
    examples: { match: [`RSSMRA85T${'10A'}562S`], not: ['RSSMRA85T10A562A'] },
  },
  {
    name: 'nl-bsn',
    finds: 'a burgerservicenummer (Netherlands), named so',
    patterns: [named('bsn|burgerservicenummer|sofinummer', '[0-9]{9}')],
    check: (value) => weighted(last(value, 9), [9, 8, 7, 6, 5, 4, 3, 2, -1]) % 11 === 0,
    examples: { match: [`BSN: 1112${'22'}333`], not: ['BSN: 111222334', '111222333'] },
  },
  {
    name: 'pl-pesel',
    finds: 'a PESEL (Poland)',
    patterns: ['[0-9]{11}'],
    check: (value) => {
      const digits = digitsOf(value)
      const month = Number(value.slice(2, 4)) % 20
      return isDay(month, Number(value.slice(4, 6))) && weighted(digits, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]) % 10 === 0
    },
    examples: { match: [`4405${'14'}01359`], not: ['44051401358', '44991401359', '22222222222'] },
  },
  {
    name: 'se-personnummer',
    finds: 'a personnummer (Sweden)',
    patterns: ['([0-9]{2})?[0-9]{6}[-+][0-9]{4}'],
    check: (value) => {
      const digits = last(value, 10)
      const number = digits.join('')
      return isDay(Number(number.slice(2, 4)), Number(number.slice(4, 6))) && isLuhn(digits)
    },
    examples: { match: [`8112${'18'}-9876`], not: ['811218-9875', '811398-9876'] },
  },
  {
    name: 'fi-hetu',
    finds: 'a henkilötunnus (Finland)',
    patterns: ['[0-3][0-9][01][0-9]{3}[-+ABCDEFYXWVU][0-9]{3}[0-9A-Y]'],
    check: (value) => {
      const number = Number(value.slice(0, 6) + value.slice(7, 10))
      return isDay(Number(value.slice(2, 4)), Number(value.slice(0, 2))) && HETU[number % 31] === value[10]
    },
    examples: { match: [`1310${'52'}-308T`], not: ['131052-308A', '411052-308T'] },
  },
  {
    name: 'no-fodselsnummer',
    finds: 'a fødselsnummer (Norway)',
    patterns: ['[0-3][0-9][01][0-9]{3} ?[0-9]{5}'],
    check: (value) => {
      const digits = digitsOf(value)
      const first = weighted(digits.slice(0, 10), [3, 7, 6, 1, 8, 9, 4, 5, 2, 1]) % 11 === 0
      return (
        isDay(Number(value.slice(2, 4)), Number(value.slice(0, 2))) &&
        first &&
        weighted(digits, [5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]) % 11 === 0
      )
    },
    examples: { match: [`0101${'90'}00083`], not: ['01019012346'] },
  },
  {
    name: 'be-rijksregisternummer',
    finds: 'a national number (Belgium)',
    patterns: [
      '[0-9]{2}\\.[01][0-9]\\.[0-3][0-9]-[0-9]{3}\\.[0-9]{2}',
      named('rijksregisternummer|registre national|niss|insz', '[0-9]{11}'),
    ],
    check: (value) => {
      const number = last(value, 11).join('')
      const check = Number(number.slice(9))
      return [`${number.slice(0, 9)}`, `2${number.slice(0, 9)}`].some((base) => 97 - (Number(base) % 97) === check)
    },
    examples: { match: [`93.05.18-${'223'}.61`], not: ['93.05.18-223.62'] },
  },
  {
    name: 'ch-ahv',
    finds: 'an AHV number (Switzerland)',
    patterns: ['756\\.?[0-9]{4}\\.?[0-9]{4}\\.?[0-9]{2}'],
    check: (value) => weighted(digitsOf(value), [1, 3]) % 10 === 0,
    examples: { match: [`756.9217.${'0769'}.85`], not: ['756.9217.0769.84'] },
  },
  {
    name: 'br-cpf',
    finds: 'a CPF (Brazil)',
    patterns: ['[0-9]{3}\\.[0-9]{3}\\.[0-9]{3}-[0-9]{2}', named('cpf', '[0-9]{11}')],
    check: (value) => {
      const digits = last(value, 11)
      const digit = (count: number): number =>
        ((weighted(
          digits.slice(0, count),
          Array.from({ length: count }, (_, index) => count + 1 - index),
        ) *
          10) %
          11) %
        10
      return new Set(digits).size > 1 && digit(9) === digits[9] && digit(10) === digits[10]
    },
    examples: { match: [`529.982.${'247'}-25`, `cpf=52998224725`], not: ['529.982.247-26', '52998224725', '111.111.111-11'] },
  },
  {
    name: 'in-aadhaar',
    finds: 'an Aadhaar number (India)',
    patterns: ['[2-9][0-9]{3}[ +][0-9]{4}[ +][0-9]{4}', named('aadhaar|aadhar|uid', '[2-9][0-9]{11}')],
    check: (value) => isVerhoeff(last(value, 12)),
    examples: { match: [`2341 ${'2341'} 2346`, `aadhaar: 2341${'2341'}2346`], not: ['2341 2341 2347', '234123412346'] },
  },
  {
    name: 'cn-resident-id',
    finds: 'a resident identity number (China)',
    patterns: ['[1-9][0-9]{5}(18|19|20)[0-9]{2}[01][0-9][0-3][0-9][0-9]{3}[0-9X]'],
    check: (value) => {
      const sum = weighted(digitsOf(value.slice(0, 17)), [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])
      return isDay(Number(value.slice(10, 12)), Number(value.slice(12, 14))) && '10X98765432'[sum % 11] === value[17]
    },
    examples: { match: [`110105${'1949'}1231002X`], not: ['110105194912310021'] },
  },
  {
    name: 'ca-sin',
    finds: 'a social insurance number (Canada), named so',
    patterns: [named('sin|social insurance', '[0-9]{3}[ +-]?[0-9]{3}[ +-]?[0-9]{3}')],
    check: (value) => isLuhn(last(value, 9)),
    examples: { match: [`SIN: 046 ${'454'} 286`], not: ['SIN: 046 454 287', '046 454 286'] },
  },
)
