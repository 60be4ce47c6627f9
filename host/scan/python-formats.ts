import { character } from './decoding.ts'
import { isList, type Known } from './known-values.ts'

const MAX_FORMATTED = 65_536

/** `'%s%c' % (a, b)` */
export function percentFormatted(format: string, given: Known): string | null {
  const values = isList(given) ? [...given] : [given]
  let [isKnown, size] = [true, format.length]
  const text = format.replace(/%%|%(?:\.?\d+)?[sdcrix]/g, (sign) => {
    if (sign === '%%') return '%'
    const value = values.shift()
    if (sign.endsWith('c') && typeof value === 'number') return character(value) ?? ''
    if (sign.endsWith('x') && typeof value === 'number') return value.toString(16)
    size += String(value).length
    if ((typeof value !== 'string' && typeof value !== 'number') || size > MAX_FORMATTED) isKnown = false
    return isKnown ? String(value) : ''
  })
  return isKnown ? text : null
}

/** `'{}{:c}'.format(a, b)` */
export function formatted(format: string, args: readonly Known[]): string | null {
  let [next, isKnown, size] = [0, true, format.length]
  const text = format.replace(/\{\{|\}\}|\{(\d*)(?::(\w*))?\}/g, (sign, index: string | undefined, way: string | undefined) => {
    if (sign === '{{' || sign === '}}') return sign.charAt(0)
    const value = args[index === undefined || index === '' ? next++ : Number(index)]
    if (way === 'c' && typeof value === 'number') return character(value) ?? ''
    size += String(value).length
    if ((typeof value !== 'string' && typeof value !== 'number') || size > MAX_FORMATTED) isKnown = false
    return isKnown ? String(value) : ''
  })
  return isKnown && !/\{\w/.test(text) ? text : null
}
