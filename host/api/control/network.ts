import { Fault, type Network, type NetworkFile } from '@caisson/wire'
import { z } from 'zod'
import { E2B_EGRESS, type E2bNetwork, fileOfE2b } from '../../airlock/e2b.ts'
import type { SandboxRecord, Traffic } from '../../sandbox/record.ts'
import type { OwnedCall } from '../call.ts'

const AGENT_PORT = 49_983
const ALL_TRAFFIC = '0.0.0.0/0'

/** Outgoing network access. */
const Egress = { ...E2B_EGRESS, dnsServers: z.array(z.string().max(255)).max(16).optional() }

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

/**
 * The rules that E2B's fields stand for, and the fields as later reported: without the proxy's password, which is only in the rules, sealed. `field`: the
 * prefix of their names.
 */
export async function egressOf(
  { dnsServers, egressProxy, ...lists }: z.infer<typeof NetworkUpdate>,
  field: string,
  { rooms, signal }: Pick<OwnedCall, 'rooms' | 'signal'>,
): Promise<{ network: NetworkFile; egress: E2bNetwork }> {
  if (dnsServers !== undefined && dnsServers.length > 0) {
    throw new Fault('UNSUPPORTED', `${field}dnsServers: names are asked of the resolver of this machine, and of nobody else`, {
      hint: `Leave ${field}dnsServers out.`,
    })
  }
  const network = fileOfE2b({ ...lists, egressProxy }, field)
  const { password, tls: _, ...proxy } = egressProxy ?? {}
  const egress = { ...lists, ...(egressProxy ? { egressProxy: { address: egressProxy.address, ...proxy } } : {}) }
  return { network: await rooms.control.proxied(network, password, signal), egress }
}

/** Whether any of them is given. */
export function saysEgress({ allowOut, denyOut, dnsServers, egressProxy, rules }: z.infer<typeof NetworkUpdate>): boolean {
  return [allowOut, denyOut, dnsServers, egressProxy, rules].some((field) => field !== undefined)
}

export function trafficOf(network: z.infer<typeof NetworkConfig> | undefined): Traffic {
  return {
    public: network?.allowPublicTraffic ?? true,
    maskRequestHost: network?.maskRequestHost ?? null,
    httpsPorts: network?.httpsPorts ?? [],
  }
}

/** The current network settings of a sandbox, reported in the terms in which they were requested, if those were E2B's. */
export function networkOf({ egress, request, traffic }: Pick<SandboxRecord, 'egress' | 'request' | 'traffic'>) {
  const said = egress ?? inTheirWords(request.network ?? 'none')
  const { allow_internet_access: isOpen = true, ...lists } = said
  return {
    allowInternetAccess: isOpen,
    network: {
      allowOut: [],
      denyOut: [],
      ...lists,
      allowPublicTraffic: traffic.public,
      ...(traffic.maskRequestHost === null ? {} : { maskRequestHost: traffic.maskRequestHost }),
      ...(traffic.httpsPorts.length === 0 ? {} : { httpsPorts: traffic.httpsPorts }),
    },
  }
}

/** Translates rules given in Caisson's terms. */
function inTheirWords(network: Network): E2bNetwork {
  if (network === 'open') return {}
  if (network === 'none') return { allow_internet_access: false, denyOut: [ALL_TRAFFIC] }
  if (typeof network === 'string') return { denyOut: [ALL_TRAFFIC], allowOut: network.replace(/^allow:/, '').split(',') }
  if (network.mode === 'none') return { allow_internet_access: false, denyOut: [ALL_TRAFFIC] }
  const [allowOut, deny] = [network.allow ?? [], network.deny ?? []].map((rules) =>
    rules.map((rule) => (typeof rule === 'string' ? rule : rule.rule)),
  )
  const { sealed: _, ...egressProxy } = network.proxy ?? {}
  const proxy = network.proxy === undefined ? {} : { egressProxy: { address: network.proxy.address, ...egressProxy } }
  return { allowOut: allowOut ?? [], denyOut: network.mode === 'allow' ? [ALL_TRAFFIC, ...(deny ?? [])] : (deny ?? []), ...proxy }
}
