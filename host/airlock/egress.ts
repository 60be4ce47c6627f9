import { networkInterfaces } from 'node:os'
import { decideConnect, type NetworkPolicy, type OperatorRange, readOperatorRanges, readPolicy } from '@caisson/policy'
import type { GateAnswer } from '@caisson/wire'
import type { ConfiguredHost } from './registries.ts'

/** What one sandbox may reach. */
export interface Egress {
  readonly policy: NetworkPolicy
  /** Reserved addresses that the operator named. */
  readonly operatorAllowed: readonly OperatorRange[]
  /** Hosts that this machine's own configuration names: they may be reached wherever they are, a mirror beside this machine included. */
  readonly configured: readonly ConfiguredHost[]
}

export interface Decision {
  readonly verdict: Extract<GateAnswer, { answer: 'connect' }>['verdict']
  /** Checked, and to be dialled in this order. */
  readonly dial: readonly string[]
  readonly rule: string
  readonly reason: string
  readonly wouldAllow: string | null
}

export interface Target {
  readonly name: string | null
  readonly address: string | null
  readonly port: number
}

/** `open`, or `allow:` and a list of rules, `registries` among them. Throws POLICY_INVALID naming the rule. */
export async function egressOf(network: string, registries: () => Promise<readonly ConfiguredHost[]>): Promise<Egress> {
  const wanted = network.startsWith('allow:') ? network.slice('allow:'.length).split(',') : []
  const configured = wanted.includes('registries') ? await registries() : []
  const hosts = configured.map(({ host, port }) => `${host}:${port}`)
  const allow = [...new Set(wanted.flatMap((rule) => (rule === 'registries' ? hosts : [rule])))]
  const policy = readPolicy(network === 'open' ? { mode: 'open' } : { mode: 'allow', allow }, 'network')
  return { policy, operatorAllowed: [], configured }
}

/** `found`: the addresses of its name on this machine. */
export function decide({ policy, operatorAllowed, configured }: Egress, target: Target, found: readonly string[]): Decision {
  const isConfigured = configured.some(({ host, port }) => host === target.name && port === target.port)
  const here = isConfigured ? readOperatorRanges(found, 'registries') : []
  const facts = { resolved: found, operatorAllowed: [...operatorAllowed, ...here], hostAddresses: hostAddresses() }
  return decideConnect(policy, target, facts)
}

function hostAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address) ?? [])
}
