import { inspect } from 'node:util'
import { parse, stringify } from './control.ts'

const TEXTS = ['text', 'html', 'markdown', 'svg', 'latex', 'javascript'] as const
const BINARIES = ['png', 'jpeg', 'pdf'] as const
const OTHERS = ['json', 'chart', 'extra', 'data'] as const
const MIMES: Readonly<Record<string, string>> = {
  'text/plain': 'text',
  'text/html': 'html',
  'text/markdown': 'markdown',
  'image/svg+xml': 'svg',
  'text/latex': 'latex',
  'application/javascript': 'javascript',
  'image/png': 'png',
  'image/jpeg': 'jpeg',
  'application/pdf': 'pdf',
  'application/json': 'json',
}
const MAX_JSON_CHARACTERS = 1024 * 1024
const MAX_DEPTH = 60
/** A convention of JavaScript notebooks: this method returns representations by MIME type. */
const DISPLAY = Symbol.for('Jupyter.display')

export type Forms = Record<string, unknown>

/** Representations of a value as a result. */
export function formsOf(value: unknown): Forms {
  const own = ownForms(value)
  if (own !== undefined) return own
  const forms: Forms = { text: inspect(value, { depth: 4, maxArrayLength: 1000, maxStringLength: 100_000 }) }
  const json = jsonOf(value)
  if (json !== undefined) forms['json'] = json
  return forms
}

/** What `display` was given: representations by name, or any value. */
export function displayed(value: unknown): Forms {
  if (!isPlain(value)) return formsOf(value)
  const names = Object.keys(value)
  const known: readonly string[] = [...TEXTS, ...BINARIES, ...OTHERS]
  return names.length > 0 && names.every((name) => known.includes(name)) ? named(value) : formsOf(value)
}

function ownForms(value: unknown): Forms | undefined {
  if (typeof value !== 'object' || value === null || !(DISPLAY in value)) return undefined
  const method = value[DISPLAY]
  if (typeof method !== 'function') return undefined
  const bundle: unknown = method.call(value)
  if (!isPlain(bundle)) return undefined
  const extra: Forms = {}
  const forms: Forms = {}
  for (const [mime, form] of Object.entries(bundle)) (MIMES[mime] === undefined ? extra : forms)[MIMES[mime] ?? mime] = form
  return named(Object.keys(extra).length === 0 ? forms : { ...forms, extra })
}

/** Throws TypeError for a representation that does not match its name. */
function named(value: Forms): Forms {
  const forms: Forms = {}
  for (const name of TEXTS) if (name in value) forms[name] = String(value[name])
  for (const name of BINARIES) {
    const form = value[name]
    if (form instanceof Uint8Array) forms[name] = Buffer.from(form).toString('base64')
    else if (typeof form === 'string') forms[name] = form
    else if (name in value) throw new TypeError(`display: ${name} is bytes, or text in base64`)
  }
  for (const name of OTHERS) {
    if (!(name in value)) continue
    const json = jsonOf(value[name], true)
    if (json === undefined || !fits(name, json)) throw new TypeError(`display: ${name} is not what it should be`)
    forms[name] = json
  }
  return forms
}

function fits(name: string, json: unknown): boolean {
  if (name === 'extra') return isPlain(json)
  return name !== 'data' || (isPlain(json) && Object.values(json).every(Array.isArray))
}

/** JSON of a value that is meant for it: plain objects, arrays, anything with `toJSON`. */
function jsonOf(value: unknown, any = false): unknown {
  const made = Array.isArray(value) || isPlain(value) || (typeof value === 'object' && value !== null && 'toJSON' in value)
  if (!made && !any) return undefined
  try {
    const text = stringify(value)
    if (text === undefined || text.length > MAX_JSON_CHARACTERS) return undefined
    const json: unknown = parse(text)
    return deeper(json, MAX_DEPTH) ? undefined : json
  } catch (failure) {
    // Cycles, BigInts, or a `toJSON` that throws: the value has no JSON.
    return failure instanceof Error ? undefined : undefined
  }
}

function deeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((item) => deeper(item, levels - 1))
}

function isPlain(value: unknown): value is Forms {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
