import {
  character,
  fromAscii85,
  fromBase32,
  fromBase64,
  fromBase85,
  fromHex,
  joinedBy,
  replacedAll,
  reversed,
  rot13,
  translated,
  unpacked,
} from './decoding.ts'
import { type Call, isList, type Known, ofText } from './known-values.ts'
import { formatted } from './python-formats.ts'

const MAX_ITEMS = 4096

const ofItems =
  (call: (items: readonly Known[]) => Known | null): Call =>
  (first) => {
    const items = itemsOf(first)
    return items === null ? null : call(items)
  }

/** Python functions that turn unreadable data into text; their results count as decoded. */
const DECODES: ReadonlyMap<string, Call> = new Map<string, Call>(
  Object.entries<Call>({
    chr: (code) => (typeof code === 'number' ? character(code) : null),
    bytes: (of) => (typeof of === 'string' ? of : bytesOf(of)),
    bytearray: (of) => (typeof of === 'string' ? of : bytesOf(of)),
    'base64.b64decode': ofText(fromBase64),
    'base64.urlsafe_b64decode': ofText(fromBase64),
    'base64.standard_b64decode': ofText(fromBase64),
    'base64.decodebytes': ofText(fromBase64),
    'binascii.a2b_base64': ofText(fromBase64),
    'base64.b32decode': ofText(fromBase32),
    'base64.b85decode': ofText(fromBase85),
    'base64.a85decode': ofText(fromAscii85),
    'base64.b16decode': ofText(fromHex),
    'bytes.fromhex': ofText(fromHex),
    'bytearray.fromhex': ofText(fromHex),
    'binascii.unhexlify': ofText(fromHex),
    'binascii.a2b_hex': ofText(fromHex),
    'zlib.decompress': ofText((text) => unpacked(text, 'zlib') ?? unpacked(text, 'deflate') ?? unpacked(text, 'gzip')),
    'gzip.decompress': ofText((text) => unpacked(text, 'gzip')),
    'codecs.decode': (text, codec) => recoded(text, codec),
    'codecs.encode': (text, codec) => recoded(text, codec),
    'urllib.parse.unquote': ofText(percent),
    'html.unescape': ofText((text) =>
      text.replace(
        /&#(x?)([\da-f]+);/gi,
        (whole, hex: string, code: string) => character(Number.parseInt(code, hex === '' ? 10 : 16)) ?? whole,
      ),
    ),
    reversed: (of) => (typeof of === 'string' ? reversed(of) : isList(of) ? [...of].reverse() : null),
  }),
)

/** Functions that only assemble values. */
const MAKES: ReadonlyMap<string, Call> = new Map<string, Call>(
  Object.entries<Call>({
    str: (of) => (typeof of === 'string' || typeof of === 'number' || typeof of === 'bigint' ? String(of) : null),
    'bytes.decode': ofText((text) => text),
    ord: ofText((text) => text.codePointAt(0) ?? null),
    len: ofItems((items) => items.length),
    int: (of, base) => {
      const value =
        typeof of === 'string'
          ? Number.parseInt(of, typeof base === 'number' ? base : 10)
          : typeof of === 'number'
            ? Math.trunc(of)
            : Number.NaN
      return Number.isSafeInteger(value) ? value : null
    },
    abs: (of) => (typeof of === 'number' ? Math.abs(of) : null),
    list: ofItems((items) => items),
    tuple: ofItems((items) => items),
    iter: ofItems((items) => items),
    sorted: ofItems((items) =>
      [...items].sort((one, other) => (isList(one) && isList(other) ? compare(one[0], other[0]) : compare(one, other))),
    ),
    enumerate: ofItems((items) => items.map((one, at) => [at, one])),
    sum: ofItems((items) =>
      items.every((one) => typeof one === 'number') ? items.reduce<number>((sum, one) => sum + Number(one), 0) : null,
    ),
    zip: (...lists) => {
      const known = lists.map(itemsOf)
      if (known.includes(null) || known.length === 0) return null
      const count = Math.min(...known.map((one) => one?.length ?? 0))
      return Array.from({ length: count }, (_, at) => known.map((one) => one?.[at] ?? ''))
    },
    range: (...bounds) => {
      if (!bounds.every((one) => typeof one === 'number')) return null
      const [first = 0, second, step = 1] = bounds.map(Number)
      const [from, to] = second === undefined ? [0, first] : [first, second]
      const count = Math.ceil((to - from) / step)
      return Number.isFinite(count) && count >= 0 && count <= MAX_ITEMS ? Array.from({ length: count }, (_, at) => from + at * step) : null
    },
    map: (call, of) => {
      const items = itemsOf(of)
      if (typeof call !== 'function' || items === null) return null
      const made = items.map((one) => call([one]))
      return made.includes(null) ? null : (made as Known[])
    },
    dict: (of) => (of instanceof Map ? of : isList(of) ? tableOf(of) : null),
    'str.maketrans': (from, to) => (typeof from === 'string' && typeof to === 'string' ? [from, to] : from instanceof Map ? from : null),
    'os.path.expanduser': ofText((text) => text),
    'os.path.abspath': ofText((text) => text),
    'os.path.join': (...parts) => path(parts),
    'operator.add': (one, other) => (typeof one === 'string' && typeof other === 'string' ? one + other : null),
  }),
)

/** The result of a Python function; null: unknown function, or a result known only at run time. */
export function pythonCall(name: string, args: readonly Known[]): { value: Known; isDecoding: boolean } | null {
  const plain = name.replace(/^builtins\./, '')
  const isPath = /(^|\.)(Pure)?(Posix)?Path$/.test(plain)
  const value = isPath ? path(args) : ((MAKES.get(plain) ?? DECODES.get(plain))?.(...args) ?? null)
  return value === null ? null : { value, isDecoding: DECODES.has(plain) }
}

/** A function passed as an argument: `map(chr, ...)`. */
export const pythonFunction = (name: string): Call | null => MAKES.get(name) ?? DECODES.get(name) ?? null

/** Methods that turn unreadable texts, lists, tables and numbers into text. */
const DECODING_METHODS = /^(translate|to_bytes|swapcase|hex|decompress)$/

export function pythonMethod(of: Known, method: string, args: readonly Known[]): { value: Known; isDecoding: boolean } | null {
  const value = methodOf(of, method, args)
  return value === null
    ? null
    : { value, isDecoding: DECODING_METHODS.test(method) || (method === 'decode' && /rot|hex|base64/.test(String(args[0] ?? ''))) }
}

function methodOf(of: Known, method: string, args: readonly Known[]): Known | null {
  const [first, second] = args
  if (of instanceof Map) {
    if (method === 'get') return of.get(String(first)) ?? null
    return method === 'values'
      ? [...of.values()]
      : method === 'keys'
        ? [...of.keys()]
        : method === 'items'
          ? [...of].map(([key, value]) => [key, value])
          : null
  }
  if (method === 'to_bytes') return bytesOfNumber(of, first, second)
  if (isList(of)) return method === 'copy' ? of : method === 'index' ? indexIn(of, first) : null
  if (typeof of !== 'string') return null
  switch (method) {
    case 'decode':
    case 'encode':
      return typeof first === 'string' && /rot|hex|base64/.test(first) ? recoded(of, first) : of
    case 'expanduser':
    case 'resolve':
    case 'absolute':
    case 'as_posix':
      return of
    case 'strip':
    case 'lstrip':
    case 'rstrip':
      return typeof first === 'string' ? stripped(of, first, method) : of.trim()
    case 'lower':
    case 'casefold':
      return of.toLowerCase()
    case 'upper':
      return of.toUpperCase()
    case 'title':
    case 'capitalize':
      return of.charAt(0).toUpperCase() + of.slice(1).toLowerCase()
    case 'swapcase':
      return [...of].map((one) => (one === one.toLowerCase() ? one.toUpperCase() : one.toLowerCase())).join('')
    case 'join': {
      const parts = listed(first)
      return parts === null ? null : joinedBy(parts, of)
    }
    case 'split':
      return typeof first === 'string' && first !== '' ? of.split(first) : first === undefined ? of.trim().split(/\s+/) : null
    case 'replace':
      return typeof first === 'string' && typeof second === 'string' && first !== '' ? replacedAll(of, first, second) : null
    case 'translate':
      return translation(of, first)
    case 'format':
      return formatted(of, args)
    case 'removeprefix':
      return typeof first === 'string' && of.startsWith(first) ? of.slice(first.length) : of
    case 'joinpath':
      return path([of, ...args])
    case 'index':
    case 'find':
      return typeof first === 'string' ? of.indexOf(first) : null
    case 'hex':
      return Buffer.from(of, 'latin1').toString('hex')
    case '__add__':
      return typeof first === 'string' ? of + first : null
    default:
      return null
  }
}

export function itemsOf(value: Known | undefined): readonly Known[] | null {
  if (isList(value)) return value
  if (typeof value === 'string') return value.length > MAX_ITEMS ? null : [...value]
  return value instanceof Map ? [...value.keys()] : null
}

function listed(value: Known | undefined): string[] | null {
  const items = itemsOf(value)
  if (items === null || !items.every((one) => typeof one === 'string' || typeof one === 'number')) return null
  return items.map((one) => (typeof one === 'number' ? (character(one) ?? '') : String(one)))
}

/** `bytes([105, 100])` */
function bytesOf(value: Known | undefined): string | null {
  return isList(value) && value.every((one) => typeof one === 'number')
    ? value.map((one) => character(Number(one) & 255) ?? '').join('')
    : null
}

function bytesOfNumber(of: Known, count: Known | undefined, order: Known | undefined): string | null {
  if ((typeof of !== 'number' && typeof of !== 'bigint') || of < 0) return null
  const hex = BigInt(of).toString(16)
  const bytes = fromHex(hex.length % 2 === 1 ? `0${hex}` : hex)
  if (bytes === null || (typeof count === 'number' && bytes.length > count)) return null
  return order === 'little' ? reversed(bytes) : bytes
}

function recoded(text: Known | undefined, codec: Known | undefined): string | null {
  if (typeof text !== 'string' || typeof codec !== 'string') return null
  if (/rot_?-?13/i.test(codec)) return rot13(text)
  if (/hex/i.test(codec)) return fromHex(text)
  if (/base64/i.test(codec)) return fromBase64(text)
  return /zlib|zip/i.test(codec) ? unpacked(text, 'zlib') : text
}

function translation(of: string, table: Known | undefined): string | null {
  if (isList(table) && typeof table[0] === 'string' && typeof table[1] === 'string') return translated(of, table[0], table[1])
  if (!(table instanceof Map)) return null
  return [...of]
    .map((one) => {
      const to: Known = table.get(one) ?? table.get(String(one.codePointAt(0))) ?? one
      return typeof to === 'number' ? (character(to) ?? '') : String(to)
    })
    .join('')
}

function stripped(of: string, what: string, method: string): string {
  let [from, to] = [0, of.length]
  if (method !== 'rstrip') while (from < to && what.includes(of.charAt(from))) from += 1
  if (method !== 'lstrip') while (to > from && what.includes(of.charAt(to - 1))) to -= 1
  return of.slice(from, to)
}

function path(parts: readonly Known[]): string | null {
  if (!parts.every((one) => typeof one === 'string') || parts.length === 0) return null
  return parts.reduce<string>(
    (whole, one) => (String(one).startsWith('/') || whole === '' ? String(one) : `${whole.replace(/\/$/, '')}/${String(one)}`),
    '',
  )
}

function tableOf(pairs: readonly Known[]): ReadonlyMap<string, Known> | null {
  if (!pairs.every((pair) => isList(pair) && pair.length === 2)) return null
  return new Map(pairs.map((pair) => (isList(pair) ? [String(pair[0]), pair[1] ?? ''] : ['', ''])))
}

function percent(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

const indexIn = (of: readonly Known[], what: Known | undefined): number | null =>
  what === undefined || !of.includes(what) ? null : of.indexOf(what)

const compare = (one: Known | undefined, other: Known | undefined): number =>
  typeof one === 'number' && typeof other === 'number' ? one - other : String(one) < String(other) ? -1 : 1
