import { fromBase32, fromBase64, fromHex, replacedAll, reversed, translated, unescaped, unpacked } from './decoding.ts'

const MAX_SET = 512

/** The output of a filter for a given input; null: not a known filter. */
export function decoded(text: string, [name, ...args]: readonly string[]): string | null {
  const said = args.join(' ')
  if (name === 'base64' && /-\w*[dD]|--decode/.test(said)) return fromBase64(text)
  if (name === 'base32' && /-\w*[dD]|--decode/.test(said)) return fromBase32(text)
  if (name === 'openssl' && /base64|enc/.test(said) && /-d/.test(said)) return fromBase64(text)
  if (name === 'xxd' && /-\w*r/.test(said)) return fromHex(text)
  if (name === 'rev') return reversed(text.replace(/\n$/, ''))
  if (name === 'tac') return text.split('\n').reverse().join('\n')
  if (/^(gunzip|zcat|gzip)$/.test(name ?? '')) return unpacked(text, 'gzip')
  if (name === 'tr') return transliterated(text, args)
  if (name === 'sed') return substituted(text, args)
  return name === 'cat' || name === 'tee' ? text : null
}

/** The output of `echo` and `printf`. */
export function printedBy(name: string, words: readonly string[]): string {
  const [format = '', ...rest] = words
  if (name !== 'printf' || !/%[sbcd]/.test(format)) return words.join(' ')
  const values = [...rest]
  let text = ''
  do text += format.replace(/%[sbcd]/g, () => values.shift() ?? '')
  while (values.length > 0 && text.length < 65_536)
  return text
}

function transliterated(text: string, args: readonly string[]): string | null {
  const [first = '', second] = args.filter((arg) => !/^-[cdsC]+$/.test(arg))
  const from = characters(first)
  if (args.some((arg) => /^-\w*d/.test(arg))) return [...text].filter((one) => !from.includes(one)).join('')
  return second === undefined ? null : translated(text, from, characters(second))
}

const CLASSES: Readonly<Record<'upper' | 'lower' | 'digit', string>> = {
  upper: 'ABCDEFGHIJKLMNOPQRSTUVWXYZ',
  lower: 'abcdefghijklmnopqrstuvwxyz',
  digit: '0123456789',
}

/** `a-z` */
function characters(set: string): string {
  return unescaped(set)
    .slice(0, MAX_SET)
    .replace(/\[:(upper|lower|digit):\]/g, (_, name: 'upper' | 'lower' | 'digit') => CLASSES[name])
    .replace(/([\w!-~])-([\w!-~])/g, (whole, first: string, last: string) => {
      const [from, to] = [first.charCodeAt(0), last.charCodeAt(0)]
      return from > to ? whole : Array.from({ length: to - from + 1 }, (_, at) => String.fromCharCode(from + at)).join('')
    })
}

/** `s/x/y/g`, if it consists of plain texts. */
function substituted(text: string, args: readonly string[]): string | null {
  const script = args.find((arg) => !arg.startsWith('-')) ?? ''
  const [, , from, to = '', flags] = /^s([/|,#@])([\w\s.~_-]+)\1([\w\s./:~_-]*)\1(g?)$/.exec(script) ?? []
  if (from === undefined || from.includes('.')) return null
  return flags === 'g' ? replacedAll(text, from, to) : text.replace(from, () => to)
}
