import { networkInterfaces } from 'node:os'
import {
  decideConnect,
  decideRequest,
  type HttpRequest,
  type NetworkPolicy,
  type OperatorRange,
  readOperatorRanges,
  readPolicy,
} from '@caisson/policy'
import type { GateAnswer, Network, NetworkFile, NetworkRule } from '@caisson/wire'
import type { ConfiguredHost } from './registries.ts'

/** Stands for the hosts of this machine's package clients. */
const REGISTRIES = 'registries'
/** For documentation (RFC 5737): nothing is dialled where answers are replayed. */
const NOWHERE = '192.0.2.1'

/** What one sandbox may reach. */
export interface Egress {
  /** What `policy` was read from, presets spelled out. */
  readonly file: NetworkFile
  readonly policy: NetworkPolicy
  /** Reserved addresses that the operator named. */
  readonly operatorAllowed: readonly OperatorRange[]
  /** Hosts that this machine's own configuration names: they may be reached wherever they are, a mirror beside this machine included. */
  readonly configured: readonly ConfiguredHost[]
}

/** A proxy as it is dialled, and how one shows oneself there. */
export type Through = NonNullable<Extract<GateAnswer, { answer: 'connect' }>['proxy']>

export interface Decision {
  readonly verdict: Extract<GateAnswer, { answer: 'connect' }>['verdict']
  /** Checked, and to be dialled in this order. */
  readonly dial: readonly string[]
  readonly rule: string
  readonly reason: string
  readonly wouldAllow: string | null
  /** Absent or null: what is in `dial` is dialled. */
  readonly through?: Through | null
}

export interface Target {
  readonly name: string | null
  readonly address: string | null
  readonly port: number
}

/** Of `network` as a request or a profile has it. Rejects with POLICY_INVALID naming the rule. */
export async function egressOf(
  network: Network,
  registries: () => Promise<readonly ConfiguredHost[]>,
  operatorAllowed: readonly OperatorRange[] = [],
): Promise<Egress> {
  const said = typeof network === 'string' ? spelledOut(network) : network
  const wanted = 'allow' in said && Array.isArray(said.allow) ? said.allow : []
  const configured = wanted.includes(REGISTRIES) ? await registries() : []
  const hosts = configured.map(({ host, port }) => `${host}:${port}`)
  const file = wanted.includes(REGISTRIES) ? { ...said, allow: expanded(wanted, hosts) } : said
  return { file, policy: policyOf(file), operatorAllowed, configured }
}

/** Most sandboxes have the same few: each is read, and its examples are tried, once. */
const MAX_READ = 64
const READ = new Map<string, NetworkPolicy>()

function policyOf(file: NetworkFile): NetworkPolicy {
  const text = JSON.stringify(file)
  const policy = READ.get(text) ?? readPolicy(file, 'network')
  READ.delete(text)
  READ.set(text, policy)
  const [oldest] = READ.keys()
  if (READ.size > MAX_READ && oldest !== undefined) READ.delete(oldest)
  return policy
}

function spelledOut(text: string): NetworkFile {
  if (text === 'none' || text === 'open') return { mode: text }
  if (text === 'replay') return { mode: 'allow', allow: [REGISTRIES], cache: 'replay' }
  // Named twice on a command line is no mistake that anybody needs to hear of.
  return { mode: 'allow', allow: [...new Set(text.replace(/^allow:/, '').split(','))] }
}

/** The preset's hosts in its place, but for those that are named beside it. */
function expanded(wanted: readonly NetworkRule[], hosts: readonly string[]): NetworkRule[] {
  const named = new Set(wanted.map((rule) => (typeof rule === 'string' ? rule : rule.rule)))
  const others = [...new Set(hosts)].filter((host) => !named.has(host))
  return wanted.flatMap((rule) => (rule === REGISTRIES ? others : [rule]))
}

/** `found`: the addresses of its name on this machine. `wanted`: a request on a connection that is looked into; without one, the connection. */
export function decide(egress: Egress, target: Target, found: readonly string[], wanted?: HttpRequest): Decision {
  const { policy, operatorAllowed } = egress
  const isKept = policy.cache !== 'off' && isConfigured(egress, target)
  if (policy.cache === 'replay' && !isKept) return notKept(target)
  const resolved = policy.cache === 'replay' ? [NOWHERE] : found
  const here = isConfigured(egress, target) ? readOperatorRanges(resolved, 'registries') : []
  const facts = { resolved, operatorAllowed: [...operatorAllowed, ...here], hostAddresses: hostAddresses() }
  const decision = wanted === undefined ? decideConnect(policy, target, facts) : decideRequest(policy, target, facts, wanted)
  return isKept && decision.verdict === 'tunnel' ? { ...decision, verdict: 'inspect' } : decision
}

/** One of the preset's hosts, at its own port. */
export function isConfigured({ configured }: Egress, { name, port }: Target): boolean {
  return configured.some((one) => one.host === name && one.port === port)
}

/** The addresses of a name where nothing is asked of anybody: one that leads nowhere, or none. Undefined: they are to be looked up. */
export function replayed({ policy, configured }: Egress, name: string): readonly string[] | undefined {
  if (policy.cache !== 'replay') return undefined
  return configured.some(({ host }) => host === name) ? [NOWHERE] : []
}

function notKept({ name, address, port }: Target): Decision {
  const reason = `${name ?? address}:${port} is no host whose answers are kept, and nothing else is asked for`
  return { verdict: 'deny', dial: [], rule: 'cache replay', reason, wouldAllow: null }
}

/** Asked of the kernel once a second, not once for each of a thousand connections. */
const HOST_KNOWN_MS = 1000
let known: { readonly addresses: readonly string[]; readonly untilMs: number } | undefined

/** Of this machine's interfaces; the same array for as long as they are the same. */
export function hostAddresses(): readonly string[] {
  if (known === undefined || known.untilMs < performance.now()) {
    const found = Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address) ?? [])
    const isSame = known?.addresses.join() === found.join()
    known = { addresses: known !== undefined && isSame ? known.addresses : found, untilMs: performance.now() + HOST_KNOWN_MS }
  }
  return known.addresses
}
