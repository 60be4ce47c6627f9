import { Fault } from '@caisson/wire'
import { type Address, addressText, contains, lastOf, type Range, rangeText, readAddress, readRange, within } from './addresses.ts'
import { hostPortText, readHostPort } from './endpoint.ts'
import { invalid } from './rule.ts'

/** Addresses that no policy can open, by category. An address may be in several; then each counts. */
const RESERVED = {
  'a metadata service': [
    '169.254.169.254',
    '169.254.170.2',
    '169.254.170.23',
    '100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
    'fd00:ec2::254',
    'fd00:ec2::23',
    'fd20:ce::254',
  ],
  loopback: ['127.0.0.0/8', '::1'],
  'this host or network': ['0.0.0.0/8', '::'],
  private: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7', 'fec0::/10'],
  'link-local': ['169.254.0.0/16', 'fe80::/10'],
  'shared behind a carrier (CGNAT)': ['100.64.0.0/10'],
  multicast: ['224.0.0.0/4', 'ff00::/8'],
  broadcast: ['255.255.255.255'],
  'for documentation': ['192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '2001:db8::/32', '3fff::/20'],
  'for benchmarks': ['198.18.0.0/15'],
  'a v4 address written as v6': ['::ffff:0:0/96', '::ffff:0:0:0/96', '::/96'],
  'a v4 address behind NAT64': ['64:ff9b::/96', '64:ff9b:1::/48'],
  'a v4 address behind 6to4': ['2002::/16', '192.88.99.0/24'],
  'for protocols': ['192.0.0.0/24', '2001::/23'],
  // All of IPv6 except 2000::/3, the only allocated block.
  'not given out': ['240.0.0.0/4', '::/3', '4000::/2', '8000::/1'],
} as const

interface Reservation {
  readonly what: string
  readonly range: Range
}

const RESERVATIONS: readonly Reservation[] = Object.entries(RESERVED).flatMap(([what, texts]) =>
  texts.map((text) => ({ what, range: rangeOf(text) })),
)

function rangeOf(text: string): Range {
  const range = readRange(text)
  if (range === null || range.stray) throw invalid('policy/reserved', `${text} is not a range`)
  return range
}

/** IPv6 formats that embed an IPv4 address, and its distance from the end. */
const CARRIERS = [
  { prefix: '::ffff:0:0/96', shift: 0n },
  { prefix: '::ffff:0:0:0/96', shift: 0n },
  { prefix: '::/96', shift: 0n },
  { prefix: '64:ff9b::/96', shift: 0n },
  { prefix: '2002::/16', shift: 80n },
].map(({ prefix, shift }) => ({ range: rangeOf(prefix), shift }))

/** An address, and the IPv4 address embedded in it, if any. */
export function formsOf(address: Address): Address[] {
  // :: and ::1 are not the embedded addresses 0.0.0.0 and 0.0.0.1.
  const carriers = address.value > 1n ? CARRIERS.filter(({ range }) => contains(range, address)) : []
  return [address, ...carriers.map(({ shift }): Address => ({ family: 4, value: (address.value >> shift) & 0xffff_ffffn }))]
}

/** The categories of a reserved address; `hostAddresses` are this machine's own. Empty: the address is public. */
export function reservationsOf(address: Address, hostAddresses: readonly string[]): Reservation[] {
  const own = hostAddresses.map(readAddress).flatMap((host) => (host === null ? [] : formsOf(host)))
  return formsOf(address).flatMap((form) => [
    ...RESERVATIONS.filter(({ range }) => contains(range, form)),
    ...own
      .filter(({ family, value }) => family === form.family && value === form.value)
      .map(() => ({ what: 'an address of the host', range: { first: form, prefix: form.family === 4 ? 32 : 128 } })),
  ])
}

/** Reserved addresses that the operator opens to policies. Port null: every port. */
export interface OperatorRange {
  readonly range: Range
  readonly port: number | null
}

/** `10.1.2.3`, `10.1.0.0/16:5432`, `[fd12::/16]:443`. Throws POLICY_INVALID. */
export function readOperatorRanges(texts: readonly string[], place: string): OperatorRange[] {
  return texts.map((text, index) => {
    const read = readHostPort(text)
    const range = read === null ? null : readRange(read.host)
    if (read === null || range === null || range.stray) {
      throw invalid(`${place}.${index}`, `${JSON.stringify(text)} is not an address or a CIDR range, with or without a port`)
    }
    return { range, port: read.port }
  })
}

/** In these categories only a single address with a port may be opened, because a range would expose services that nobody thought of. */
const NARROW = ['a metadata service', 'loopback', 'this host or network']

/**
 * Parses what an operator opens to policies: reserved addresses and ranges, with or without a port, separated by commas. Entries that name nothing reserved, or
 * more than can be intended, are refused with POLICY_INVALID and their place.
 */
export function readOperatorSetting(text: string, place: string): OperatorRange[] {
  const texts = text.split(',').map((one) => one.trim())
  const ranges = readOperatorRanges(texts, place)
  for (const [index, { range, port }] of ranges.entries()) {
    const told = `${place}.${index}: ${JSON.stringify(texts[index])}`
    const narrow = RESERVATIONS.find((one) => NARROW.includes(one.what) && within(range, one.range))
    if (narrow !== undefined && (port === null || lastOf(range).value !== range.first.value)) {
      throw new Fault('POLICY_INVALID', `${told} is ${narrow.what}`, {
        hint: `Name one address and port: ${hostPortText({ host: addressText(range.first), port: 8080 })}.`,
      })
    }
    // A single address may be this machine's own, which is not known until a connection asks for it.
    const isOne = lastOf(range).value === range.first.value
    if (!isOne && !RESERVATIONS.some((one) => within(range, one.range))) {
      throw new Fault('POLICY_INVALID', `${told} does not lie within one reserved range, so it would name nothing`, {
        hint: 'Public addresses need no naming; name reserved ranges each by itself, such as 10.0.0.0/8.',
      })
    }
  }
  return ranges
}

export function operatorRangeText({ range, port }: OperatorRange): string {
  return hostPortText({ host: rangeText(range), port })
}

/** The category that the operator has not opened; undefined: none is in the way. */
export function closing(
  reserved: readonly Reservation[],
  { address, port }: { address: Address; port: number },
  named: readonly OperatorRange[],
): string | undefined {
  return reserved.find((one) => !isNamed(one, address, port, named))?.what
}

/** Whether the operator named the reserved range itself. A wider range (0.0.0.0/0) does not count as naming it. */
function isNamed({ range }: Reservation, address: Address, port: number, named: readonly OperatorRange[]): boolean {
  return named.some(
    (one) =>
      (one.port === null || one.port === port) && within(one.range, range) && formsOf(address).some((form) => contains(one.range, form)),
  )
}
