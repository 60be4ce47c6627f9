import type { Field } from './exchange.ts'

/** Said between neighbours, and not handed on (RFC 9110, 7.6.1; RFC 9113, 8.2.2). */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
])

/** Of the list [name, value, name, value] that Node has of what was said. */
export function fieldsOf(raw: readonly string[]): Field[] {
  const fields: Field[] = []
  for (let at = 0; at + 1 < raw.length; at += 2) fields.push([raw[at] ?? '', raw[at + 1] ?? ''])
  return fields
}

export function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter(([other]) => other.toLowerCase() === name).map(([, value]) => value)
}

export function without(fields: readonly Field[], ...names: string[]): Field[] {
  return fields.filter(([name]) => !names.includes(name.toLowerCase()))
}

/** Without what is between neighbours, and what Connection names; `te: trailers` and the names of trailers stay, since those are handed on. */
export function endToEnd(fields: readonly Field[]): Field[] {
  const named = valuesOf(fields, 'connection').flatMap((value) =>
    value
      .toLowerCase()
      .split(',')
      .map((name) => name.trim()),
  )
  // A set: a head has room for thousands of names, and for thousands that are named.
  const dropped = new Set([...HOP_BY_HOP, ...named])
  const kept = fields.filter(([name]) => !dropped.has(name.toLowerCase()))
  const wantsTrailers = valuesOf(fields, 'te').some((value) => /(^|,)\s*trailers\s*(,|$)/i.test(value))
  const trailers = fields.filter(([name]) => name.toLowerCase() === 'trailer')
  return [...kept, ...(wantsTrailers ? [['te', 'trailers'] as const] : []), ...trailers]
}

export function rawOf(fields: readonly Field[]): string[] {
  return fields.flat()
}

/** As HTTP/2 has them: lower case, several values of one name as a list. */
export function listed(fields: readonly Field[]): Record<string, string | string[]> {
  const all: Record<string, string | string[]> = {}
  for (const [name, value] of fields) {
    const key = name.toLowerCase()
    const before = all[key]
    all[key] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value]
  }
  return all
}
