import { z } from 'zod'
import { contains, lastOf, rangeText, readRange } from '../addresses.ts'
import { endsInNumber } from '../names.ts'
import { kind } from './kind.ts'

const Cidr = z.string().transform((text, context) => {
  const range = readRange(text)
  if (range !== null && !range.stray) return range
  context.addIssue(
    range === null
      ? 'it is neither an IP address nor a range in CIDR notation'
      : `it has bits set beyond its prefix; the range is ${rangeText(range)}`,
  )
  return z.NEVER
})

/** An address, or a range of addresses. */
export const cidr = kind({
  name: 'cidr',
  claims: (host) => !host.includes('*') && (/[/:]/.test(host) || endsInNumber(host)),
  schema: Cidr,
  text: rangeText,
  decide: (range, { address }) => address !== null && contains(range, address),
  corners: (range) => [range.first, lastOf(range)].map((address) => ({ name: null, address, port: null })),
  examples: {
    rule: '93.184.215.0/24',
    match: ['93.184.215.0', '93.184.215.255', '93.184.215.14:443'],
    not: ['93.184.214.255', '93.184.216.0', '::ffff:93.184.215.14', 'example.com'],
  },
})
