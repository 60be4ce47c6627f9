/** An IP address as a number, so that all spellings of an address are judged alike. */
export interface Address {
  readonly family: 4 | 6
  readonly value: bigint
}

/** All addresses that share their first `prefix` bits with `first`. */
export interface Range {
  readonly first: Address
  readonly prefix: number
}

const BITS = { 4: 32, 6: 128 } as const
const V4_PART = /^(0|[1-9]\d{0,2})$/
const V6_PART = /^[0-9a-f]{1,4}$/i
const PREFIX = /^(0|[1-9]\d{0,2})$/

/** Strict: four decimal numbers without leading zeros, or RFC 4291 without a zone. Null: not an address. */
export function readAddress(text: string): Address | null {
  const value = text.includes(':') ? readV6(text) : readV4(text)
  return value === null ? null : { family: text.includes(':') ? 6 : 4, value }
}

function readV4(text: string): bigint | null {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => V4_PART.test(part) && Number(part) <= 255)) return null
  return parts.reduce((sum, part) => (sum << 8n) | BigInt(part), 0n)
}

function readV6(text: string): bigint | null {
  const halves = text.split('::')
  if (halves.length > 2) return null
  const [before = [], after = []] = halves.map((half, index) => readGroups(half, index === halves.length - 1) ?? [-1])
  const groups = [...before, ...after]
  if (groups.includes(-1)) return null
  // "::" stands for at least one group.
  const missing = 8 - groups.length
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null
  return [...before, ...Array<number>(missing).fill(0), ...after].reduce((sum, group) => (sum << 16n) | BigInt(group), 0n)
}

/** The 16-bit groups on one side of "::". The last may be written as an IPv4 address. */
function readGroups(text: string, last: boolean): number[] | null {
  if (text === '') return []
  const parts = text.split(':')
  const groups: number[] = []
  for (const [index, part] of parts.entries()) {
    if (V6_PART.test(part)) {
      groups.push(Number.parseInt(part, 16))
      continue
    }
    const v4 = last && index === parts.length - 1 ? readV4(part) : null
    if (v4 === null) return null
    groups.push(Number(v4 >> 16n), Number(v4 & 0xffffn))
  }
  return groups
}

/** The canonical spelling (RFC 5952), in which addresses are dialled and reported. */
export function addressText({ family, value }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join('.')
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16))
  const zeros = longestZeros(groups)
  if (zeros.length < 2) return groups.join(':')
  return `${groups.slice(0, zeros.start).join(':')}::${groups.slice(zeros.start + zeros.length).join(':')}`
}

function longestZeros(groups: readonly string[]): { start: number; length: number } {
  let longest = { start: 0, length: 0 }
  for (let start = 0; start < groups.length; start++) {
    let length = 0
    while (groups[start + length] === '0') length++
    if (length > longest.length) longest = { start, length }
  }
  return longest
}

/** An address, or a range in CIDR notation. `stray`: bits beyond the prefix were set; the range is returned without them. */
export function readRange(text: string): (Range & { readonly stray: boolean }) | null {
  const [head = '', bits, ...rest] = text.split('/')
  const address = readAddress(head)
  if (address === null || rest.length > 0) return null
  const all = BITS[address.family]
  if (bits === undefined) return { first: address, prefix: all, stray: false }
  if (!PREFIX.test(bits) || Number(bits) > all) return null
  const shift = BigInt(all - Number(bits))
  const value = (address.value >> shift) << shift
  return { first: { family: address.family, value }, prefix: Number(bits), stray: value !== address.value }
}

export function rangeText({ first, prefix }: Range): string {
  return prefix === BITS[first.family] ? addressText(first) : `${addressText(first)}/${prefix}`
}

const MASKS = { 4: masks(32), 6: masks(128) } as const

/** Bit masks by prefix length. */
function masks(bits: number): readonly bigint[] {
  const all = (1n << BigInt(bits)) - 1n
  return Array.from({ length: bits + 1 }, (_, prefix) => all ^ (all >> BigInt(prefix)))
}

export function contains({ first, prefix }: Range, { family, value }: Address): boolean {
  return family === first.family && (value & (MASKS[family][prefix] ?? -1n)) === first.value
}

export function within(inner: Range, outer: Range): boolean {
  return inner.prefix >= outer.prefix && contains(outer, inner.first)
}

export function lastOf({ first, prefix }: Range): Address {
  return { family: first.family, value: first.value | ((1n << BigInt(BITS[first.family] - prefix)) - 1n) }
}
