import { isIP } from 'node:net'
import { Fault } from '@caisson/wire'
import { z } from 'zod'
import type { Traffic } from '../../sandbox/record.ts'

const AGENT_PORT = 49_983
const MAX_RULES = 1000

const Texts = z.array(z.string().max(255)).max(MAX_RULES)

/** What a sandbox may send out. */
const Egress = {
  allowOut: Texts.optional(),
  denyOut: Texts.optional(),
  dnsServers: Texts.optional(),
  egressProxy: z.record(z.string(), z.unknown()).nullish(),
  rules: z.record(z.string(), z.unknown()).nullish(),
}

/** Body of PUT /sandboxes/{id}/network. */
export const NetworkUpdate = z.strictObject({ ...Egress, allow_internet_access: z.boolean().optional() })

/** `network` of a new sandbox. */
export const NetworkConfig = z.strictObject({
  ...Egress,
  allowPublicTraffic: z.boolean().nullish(),
  maskRequestHost: z
    .string()
    .min(1)
    .max(255)
    .regex(/^[\x21-\x7e]+$/, 'not a value of the Host header')
    .nullish(),
  httpsPorts: z
    .array(
      z
        .int()
        .min(1)
        .max(65_535)
        .refine((port) => port !== AGENT_PORT, `${AGENT_PORT} speaks plain HTTP`),
    )
    .max(64)
    .optional(),
})

/** Nothing gets out of a sandbox but what is asked for here, and this machine's walls have `lo` and nothing else: denying is granted, opening is refused. */
export function refuseEgress(network: z.infer<typeof NetworkUpdate> | z.infer<typeof NetworkConfig>, field: string): void {
  for (const [index, rule] of (network.denyOut ?? []).entries()) {
    if (!isAddressOrRange(rule)) throw new Fault('BAD_REQUEST', `${field}denyOut.${index}: ${rule} is not an IP address or a CIDR range`)
  }
  const opening = {
    allowOut: network.allowOut?.length,
    dnsServers: network.dnsServers?.length,
    egressProxy: network.egressProxy === null ? 0 : network.egressProxy,
    rules: Object.keys(network.rules ?? {}).length,
  }
  for (const [name, wanted] of Object.entries(opening)) {
    if (!wanted) continue
    throw new Fault('UNSUPPORTED', `${field}${name}: sandboxes have no network here but their own loopback, so nothing can be let out`, {
      hint: `Leave ${field}${name} out; bring files in over the API.`,
    })
  }
}

export function trafficOf(network: z.infer<typeof NetworkConfig> | undefined): Traffic {
  return {
    public: network?.allowPublicTraffic ?? true,
    maskRequestHost: network?.maskRequestHost ?? null,
    httpsPorts: network?.httpsPorts ?? [],
  }
}

/** As it is told of a sandbox: what holds, which is that nothing gets out. */
export function networkOf(traffic: Traffic) {
  return {
    allowOut: [],
    denyOut: ['0.0.0.0/0', '::/0'],
    allowPublicTraffic: traffic.public,
    ...(traffic.maskRequestHost === null ? {} : { maskRequestHost: traffic.maskRequestHost }),
    ...(traffic.httpsPorts.length === 0 ? {} : { httpsPorts: traffic.httpsPorts }),
  }
}

function isAddressOrRange(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0 || address.includes('%')) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}
