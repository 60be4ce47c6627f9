import { decideProxy, type EgressProxy, type NetworkPolicy } from '@caisson/policy'
import { Fault, type Network, type NetworkFile } from '@caisson/wire'
import { type Decision, type Egress, hostAddresses } from './egress.ts'

/** What has to be looked up before connections through an egress proxy can be decided. */
export interface Beyond {
  readonly proxy: EgressProxy
  readonly addresses: readonly string[]
  /** Null: there is none. Undefined: it cannot be decrypted. */
  readonly password: string | null | undefined
}

/** Null: these rules have no proxy. */
export async function beyond(
  { policy: { proxy } }: Egress,
  ask: { addresses(name: string): Promise<readonly string[]>; unseal(sealed: string): Promise<string | undefined> },
): Promise<Beyond | null> {
  if (proxy === null) return null
  const [addresses, password] = await Promise.all([
    proxy.name === null ? [] : ask.addresses(proxy.name),
    proxy.sealed === null ? null : ask.unseal(proxy.sealed),
  ])
  return { proxy, addresses, password }
}

/** Applies the rules' proxy to a decision. A proxy that may not be dialled, or whose password is lost, lets nothing out. */
export function byProxy(decision: Decision, { policy: { proxy }, operatorAllowed }: Egress, known: Beyond | null): Decision {
  const passes = decision.verdict === 'tunnel' || decision.verdict === 'inspect'
  if (proxy === null || !passes) return decision
  // The rules changed during the lookup; a retry uses the new ones.
  if (known?.proxy !== proxy) return denied({ rule: 'egress proxy', reason: 'the rules are being changed' })
  const { addresses: resolved, password } = known
  if (password === undefined)
    return denied({ rule: 'egress proxy', reason: `the password for the egress proxy ${proxy.text} cannot be read` })
  const decided = decideProxy(proxy, { resolved, operatorAllowed, hostAddresses: hostAddresses() })
  if ('rule' in decided) return denied(decided)
  const credentials = proxy.username === null ? null : { username: proxy.username, password: password ?? '' }
  return { ...decision, through: { dial: [...decided.dial], port: proxy.port, credentials } }
}

function denied({ rule, reason }: { rule: string; reason: string }): Decision {
  return { verdict: 'deny', dial: [], rule, reason, wouldAllow: null, through: null }
}

/** Whether both are the same proxy. A changed password applies only to new connections. */
export function isSameProxy(one: NetworkPolicy['proxy'], other: NetworkPolicy['proxy']): boolean {
  return one?.text === other?.text && one?.username === other?.username
}

/** Refuses rules through which nothing could currently get out, before anything is created. Throws POLICY_INVALID. */
export function refuseProxy({ operatorAllowed }: Pick<Egress, 'operatorAllowed'>, { proxy, addresses: resolved, password }: Beyond): void {
  if (password === undefined) throw new Fault('POLICY_INVALID', 'network.proxy.sealed: it was not sealed by this installation')
  const decided = decideProxy(proxy, { resolved, operatorAllowed, hostAddresses: hostAddresses() })
  if (!('rule' in decided)) return
  throw new Fault('POLICY_INVALID', `network.proxy.address: ${decided.reason}`, {
    hint: 'It needs a public address, or one that the operator names (CAISSON_ALLOW_PRIVATE).',
  })
}

/** The rules without the sealed password, for any reader. */
export function withoutSeal(network: NetworkFile): NetworkFile
export function withoutSeal(network: Network): Network
export function withoutSeal(network: Network): Network {
  if (typeof network === 'string' || network.mode === 'none' || network.proxy === undefined) return network
  const { sealed: _, ...proxy } = network.proxy
  return { ...network, proxy }
}
