import { z } from 'zod'
import { type Address, addressText, readAddress } from './addresses.ts'
import { hostPortText, readHostPort } from './endpoint.ts'
import { normaliseName } from './names.ts'
import { closing, type OperatorRange, reservationsOf } from './reserved.ts'
import { invalid } from './rule.ts'

/** Maximum length in SOCKS5 (RFC 1929). */
const MAX_WORD_BYTES = 255
/** Addresses of a proxy that are tried. */
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

/** A SOCKS5 proxy for all outgoing connections. Rules do not apply to it, because the sandbox does not talk to it. */
export interface EgressProxy {
  /** Null: it is given by its address. */
  readonly name: string | null
  readonly address: Address | null
  readonly port: number
  readonly username: string | null
  readonly sealed: string | null
  /** For people; without the username. */
  readonly text: string
}

/** Throws POLICY_INVALID naming the problem. */
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
 * The proxy addresses that may be dialled, or the reason if there is none. `resolved`: the host's lookup of its name. A proxy at a reserved address would open
 * a way to it; like any other, that address must be allowed by the operator.
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

/** Removes credentials, which people write before an @: messages travel further than answers. */
function told(address: string): string {
  return JSON.stringify(address.replace(/^.*@/s, '***@'))
}
