import { z } from 'zod'
import { type Address, addressText, readAddress } from './addresses.ts'
import { hostPortText, readHostPort } from './endpoint.ts'
import { normaliseName } from './names.ts'
import { closing, type OperatorRange, reservationsOf } from './reserved.ts'
import { invalid } from './rule.ts'

/** What SOCKS5 has room for (RFC 1929). */
const MAX_WORD_BYTES = 255
/** Addresses of one proxy that are tried. */
const MAX_DIAL = 4

export const ProxyEntry = z.strictObject({
  address: z.string().min(1).max(300),
  username: z
    .string()
    .min(1)
    .refine((text) => Buffer.byteLength(text) <= MAX_WORD_BYTES, `is longer than ${MAX_WORD_BYTES} bytes`)
    .optional(),
  sealed: z.string().min(1).max(1024).optional(),
})

/** A SOCKS5 proxy that all connections go out through. Rules do not speak of it: it is nobody that the sandbox talks to. */
export interface EgressProxy {
  /** Null: it is named by its address. */
  readonly name: string | null
  readonly address: Address | null
  readonly port: number
  readonly username: string | null
  readonly sealed: string | null
  /** For people; the username is not in it. */
  readonly text: string
}

/** Throws POLICY_INVALID naming what is wrong. */
export function readProxy({ address: text, username, sealed }: z.infer<typeof ProxyEntry>, place: string): EgressProxy {
  const read = readHostPort(text)
  if (read === null || read.port === null) {
    throw invalid(`${place}.address`, `${told(text)} is not HOST:PORT; an address of version 6 is written [::1]:1080`)
  }
  if (sealed !== undefined && username === undefined) throw invalid(`${place}.username`, 'a password needs a username')
  const address = readAddress(read.host)
  const named = address === null ? normaliseName(read.host) : { name: null }
  if ('refused' in named) throw invalid(`${place}.address`, `${told(text)} is neither a name nor an address`)
  const host = named.name ?? (address === null ? '' : addressText(address))
  const { port } = read
  return Object.freeze({
    name: named.name,
    address,
    port,
    username: username ?? null,
    sealed: sealed ?? null,
    text: hostPortText({ host, port }),
  })
}

/**
 * Which of its addresses may be dialled; none: the reason. `resolved`: what the host found for its name. A proxy at a reserved address would be a way to there: it is
 * for the operator to open, like any other.
 */
export function decideProxy(
  { name, address, port, text }: EgressProxy,
  facts: {
    readonly resolved: readonly string[]
    readonly operatorAllowed: readonly OperatorRange[]
    readonly hostAddresses: readonly string[]
  },
): { readonly dial: readonly string[] } | { readonly rule: string; readonly reason: string } {
  const found = address === null ? facts.resolved.map(readAddress).filter((one) => one !== null) : [address]
  const { operatorAllowed, hostAddresses } = facts
  const judged = found.map((one) => {
    return { one, closed: closing(reservationsOf(one, hostAddresses), { address: one, port }, operatorAllowed) }
  })
  const dial = judged.filter(({ closed }) => closed === undefined).map(({ one }) => addressText(one))
  if (dial.length > 0) return { dial: [...new Set(dial)].slice(0, MAX_DIAL) }
  const closed = judged[0]?.closed
  if (closed === undefined) return { rule: 'egress proxy', reason: `the egress proxy ${name ?? text} has no address on this machine` }
  return {
    rule: `reserved ${closed}`,
    reason: `the egress proxy ${text} is at a reserved address (${closed}), and the operator has not named it`,
  }
}

/** People write credentials before an @, and messages go further than answers do. */
function told(address: string): string {
  return JSON.stringify(address.replace(/^.*@/s, '***@'))
}
