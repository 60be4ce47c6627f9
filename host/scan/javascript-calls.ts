import { character, fromBase64, fromHex, joinedBy, repeated, replacedAll, unescaped, unpacked } from './decoding.ts'
import { type Call, isList, type Known, ofText } from './known-values.ts'
import { sliced } from './operators.ts'

const MAX_ITEMS = 4096

/** JavaScript functions that turn unreadable data into text; their results count as decoded. */
const DECODES: ReadonlyMap<string, Call> = new Map<string, Call>(
  Object.entries<Call>({
    'String.fromCharCode': (...codes) => characters(codes),
    'String.fromCodePoint': (...codes) => characters(codes),
    atob: ofText(fromBase64),
    decodeURIComponent: ofText(percent),
    decodeURI: ofText(percent),
    unescape: ofText((text) => unescaped(text.replace(/%u([\da-f]{4})/gi, '\\u$1').replace(/%([\da-f]{2})/gi, '\\x$1'))),
    'zlib.inflateSync': ofText((text) => unpacked(text, 'zlib')),
    'zlib.gunzipSync': ofText((text) => unpacked(text, 'gzip')),
    'zlib.inflateRawSync': ofText((text) => unpacked(text, 'deflate')),
    'zlib.unzipSync': ofText((text) => unpacked(text, 'gzip') ?? unpacked(text, 'zlib')),
    'zlib.brotliDecompressSync': ofText((text) => unpacked(text, 'brotli')),
    'TextDecoder().decode': (of) => (isList(of) ? characters(of) : typeof of === 'string' ? of : null),
  }),
)

/** Functions that only assemble values. */
const MAKES: ReadonlyMap<string, Call> = new Map<string, Call>(
  Object.entries<Call>({
    String: (of) => (typeof of === 'string' || typeof of === 'number' ? String(of) : null),
    Number: (of) => finite(Number(typeof of === 'string' || typeof of === 'number' ? of : Number.NaN)),
    parseInt: (of, base) => finite(Number.parseInt(String(of), typeof base === 'number' ? base : 10)),
    Array: (...items) => items,
    'Array.of': (...items) => items,
    'Array.from': (of, call) => mapped(of, call),
    Uint8Array: (of) => (isList(of) ? of : null),
    'Uint8Array.from': (of, call) => mapped(of, call),
    'TextEncoder().encode': ofText((text) => [...text].map((one) => one.codePointAt(0) ?? 0)),
    btoa: ofText((text) => Buffer.from(text, 'latin1').toString('base64')),
    'JSON.parse': ofText((text) => parsed(text)),
    'Object.keys': (of) => (of instanceof Map ? [...of.keys()] : null),
    'Object.values': (of) => (of instanceof Map ? [...of.values()] : null),
    'Object.entries': (of) => (of instanceof Map ? [...of].map(([key, value]) => [key, value]) : null),
    'os.homedir': () => '~',
    homedir: () => '~',
    'path.join': (...parts) => path(parts),
    'path.resolve': (...parts) => path(parts),
    join: (...parts) => path(parts),
    resolve: (...parts) => path(parts),
  }),
)

interface Made {
  readonly value: Known
  readonly isDecoding: boolean
}

/** The result of a JavaScript function; null: unknown function, or a result known only at run time. */
export function javascriptCall(name: string, args: readonly Known[]): Made | null {
  if (name === 'Buffer.from') return buffer(args)
  const value = (MAKES.get(name) ?? DECODES.get(name))?.(...args) ?? null
  return value === null ? null : { value, isDecoding: DECODES.has(name) }
}

export const javascriptFunction = (name: string): Call | null => MAKES.get(name) ?? DECODES.get(name) ?? null

function buffer([of, coding]: readonly Known[]): Made | null {
  if (isList(of)) {
    const value = characters(of.map((one) => (typeof one === 'number' ? one & 255 : one)))
    return value === null ? null : { value, isDecoding: true }
  }
  if (typeof of !== 'string') return null
  const value = coding === 'base64' || coding === 'base64url' ? fromBase64(of) : coding === 'hex' ? fromHex(of) : of
  return value === null ? null : { value, isDecoding: value !== of }
}

/** Methods of texts, lists, numbers and tables. */
export function javascriptMethod(of: Known, method: string, args: readonly Known[]): Made | null {
  const value = isList(of) ? ofList(of, method, args) : typeof of === 'number' ? ofNumber(of, method, args) : ofString(of, method, args)
  const isDecoding = method === 'reverse' || method === 'charAt' || (method === 'toString' && typeof of === 'number' && args.length > 0)
  return value === null ? null : { value, isDecoding }
}

function ofNumber(of: number, method: string, [base]: readonly Known[]): Known | null {
  return method === 'toString' ? of.toString(typeof base === 'number' && base >= 2 && base <= 36 ? base : 10) : null
}

function ofList(of: readonly Known[], method: string, args: readonly Known[]): Known | null {
  const [first, second] = args
  switch (method) {
    case 'join':
      return of.every((one) => typeof one === 'string' || typeof one === 'number')
        ? joinedBy(of as (string | number)[], typeof first === 'string' ? first : ',')
        : null
    case 'reverse':
    case 'toReversed':
      return [...of].reverse()
    case 'slice':
      return sliced(of, numberOr(first, null), numberOr(second, null))
    case 'concat':
      return [...of, ...args.flatMap((one) => (isList(one) ? one : [one]))]
    case 'map':
      return mapped(of, first)
    case 'filter':
    case 'flat':
      return method === 'flat' ? of.flatMap((one) => (isList(one) ? one : [one])) : null
    case 'reduce':
      return reduced(of, first, second)
    case 'at':
      return typeof first === 'number' ? (of.at(first) ?? null) : null
    case 'indexOf':
      return first === undefined ? null : of.indexOf(first)
    case 'toString':
      return characters(of)
    default:
      return null
  }
}

function ofString(of: Known, method: string, args: readonly Known[]): Known | null {
  const [first, second] = args
  if (typeof of !== 'string') return null
  switch (method) {
    case 'toString':
      return first === 'hex' || first === 'base64' ? Buffer.from(of, 'latin1').toString(first) : of
    case 'trim':
    case 'valueOf':
    case 'normalize':
      return of.trim()
    case 'toLowerCase':
      return of.toLowerCase()
    case 'toUpperCase':
      return of.toUpperCase()
    case 'concat':
      return args.every((one) => typeof one === 'string') ? of + args.join('') : null
    case 'split':
      if (of.length > MAX_ITEMS) return null
      return typeof first === 'string' ? (first === '' ? [...of] : of.split(first)) : null
    case 'match':
      return inPieces(of, first)
    case 'slice':
      return sliced(of, numberOr(first, null), numberOr(second, null))
    case 'substring':
    case 'substr': {
      const from = numberOr(first, 0) ?? 0
      return sliced(of, from, typeof second === 'number' ? (method === 'substr' ? from + second : second) : null)
    }
    case 'charAt':
    case 'at':
      return typeof first === 'number' ? (of.at(first) ?? '') : null
    case 'charCodeAt':
    case 'codePointAt':
      return of.codePointAt(numberOr(first, 0) ?? 0) ?? null
    case 'repeat':
      return typeof first === 'number' ? repeated(of, first) : null
    case 'replace':
    case 'replaceAll':
      if (first instanceof Map && typeof second === 'string') return without(of, String(first.get('regex') ?? ''), second)
      return typeof first === 'string' && typeof second === 'string' && first !== '' ? replacedAll(of, first, second) : null
    case 'map':
      return of.length <= MAX_ITEMS ? mapped([...of], first) : null
    case 'indexOf':
      return typeof first === 'string' ? of.indexOf(first) : null
    default:
      return null
  }
}

/** `/../g`, `/.{1,8}/g`. Other expressions are not executed, because their author controls their cost. */
function inPieces(of: string, expression: Known | undefined): string[] | null {
  const pattern = expression instanceof Map ? String(expression.get('regex') ?? '') : ''
  const [, dots = '', most] = /^(\.+|[\\[]\S{1,8}?)(?:\{(?:\d,)?(\d)\})?$/.exec(pattern) ?? []
  const size = most === undefined ? dots.replace(/[^.]/g, '').length : Number(most)
  return size > 0 && of.length <= MAX_ITEMS ? (of.match(new RegExp(`.{1,${size}}`, 'gs')) ?? []) : null
}

/** For a regular expression that is a plain text or a character class. */
function without(of: string, pattern: string, by: string): string | null {
  const [, text] = /^((?:\\[^\w]|[\w\s@#~!%&;:,'"=-])+)$/.exec(pattern) ?? []
  if (text !== undefined) return replacedAll(of, text.replaceAll('\\', ''), by)
  return /^\[[^\]\\]{1,40}\]\+?$/.test(pattern) ? joinedBy(of.split(new RegExp(pattern)), by) : null
}

function mapped(of: Known | undefined, call: Known | undefined): Known | null {
  const items = isList(of) ? of : typeof of === 'string' && of.length <= MAX_ITEMS ? [...of] : null
  if (items === null || items.length > MAX_ITEMS) return null
  if (call === undefined) return items
  if (typeof call !== 'function') return null
  const made = items.map((one, at) => call([one, at]))
  return made.includes(null) ? null : (made as Known[])
}

function reduced(of: readonly Known[], call: Known | undefined, first: Known | undefined): Known | null {
  if (typeof call !== 'function' || of.length > MAX_ITEMS) return null
  let result: Known | null = first ?? of[0] ?? null
  for (const [at, one] of (first === undefined ? of.slice(1) : of).entries()) result = result === null ? null : call([result, one, at])
  return result
}

function characters(codes: readonly Known[]): string | null {
  const flat = codes.flatMap((one) => (isList(one) ? one : [one]))
  return flat.every((one) => typeof one === 'number') ? flat.map((code) => character(Number(code) & 0x1fffff) ?? '').join('') : null
}

function parsed(text: string): Known | null {
  try {
    return knownOf(JSON.parse(text))
  } catch {
    return null
  }
}

function knownOf(value: unknown, depth = 0): Known | null {
  if (typeof value === 'string' || typeof value === 'number') return value
  if (typeof value !== 'object' || value === null || depth > 8) return null
  if (Array.isArray(value)) {
    const items = value.map((one) => knownOf(one, depth + 1))
    return items.includes(null) ? null : (items as Known[])
  }
  return new Map(Object.entries(value).flatMap(([key, one]) => [[key, knownOf(one, depth + 1) ?? ''] as const]))
}

function path(parts: readonly Known[]): string | null {
  return parts.length > 0 && parts.every((one) => typeof one === 'string') ? parts.join('/') : null
}

function percent(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

const numberOr = (value: Known | undefined, otherwise: number | null): number | null => (typeof value === 'number' ? value : otherwise)

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null)
