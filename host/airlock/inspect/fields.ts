import type { Field } from './exchange.ts'

/** Hop-by-hop fields, which are not forwarded (RFC 9110, 7.6.1; RFC 9113, 8.2.2). */
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

/** From Node's raw list [name, value, name, value]. */
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

/** Without hop-by-hop fields and those that Connection names. `te: trailers` and the names of trailers stay, since trailers are forwarded. */
export function endToEnd(fields: readonly Field[]): Field[] {
  const named = valuesOf(fields, 'connection').flatMap((value) =>
    value
      .toLowerCase()
      .split(',')
      .map((name) => name.trim()),
  )
  // A set, because a head can have thousands of fields, and Connection can name thousands.
  const dropped = new Set([...HOP_BY_HOP, ...named])
  const kept = fields.filter(([name]) => !dropped.has(name.toLowerCase()))
  const wantsTrailers = valuesOf(fields, 'te').some((value) => /(^|,)\s*trailers\s*(,|$)/i.test(value))
  const trailers = fields.filter(([name]) => name.toLowerCase() === 'trailer')
  return [...kept, ...(wantsTrailers ? [['te', 'trailers'] as const] : []), ...trailers]
}

export function rawOf(fields: readonly Field[]): string[] {
  return fields.flat()
}

/** In HTTP/2's form: lower case, repeated fields as a list. */
export function listed(fields: readonly Field[]): Record<string, string | string[]> {
  const all: Record<string, string | string[]> = {}
  for (const [name, value] of fields) {
    const key = name.toLowerCase()
    const before = all[key]
    all[key] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value]
  }
  return all
}
