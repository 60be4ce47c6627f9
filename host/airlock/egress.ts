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
/** An address for documentation (RFC 5737): nothing is dialled when answers are replayed. */
const NOWHERE = '192.0.2.1'

/** What one sandbox may reach. */
export interface Egress {
  /** The source of `policy`, with presets expanded. */
  readonly file: NetworkFile
  readonly policy: NetworkPolicy
  /** Reserved addresses that the operator allows. */
  readonly operatorAllowed: readonly OperatorRange[]
  /** Hosts from this machine's own configuration. They are reachable at any address, for instance a mirror next to this machine. */
  readonly configured: readonly ConfiguredHost[]
}

/** A proxy's addresses and credentials. */
export type Through = NonNullable<Extract<GateAnswer, { answer: 'connect' }>['proxy']>

export interface Decision {
  readonly verdict: Extract<GateAnswer, { answer: 'connect' }>['verdict']
  /** Checked addresses, in dialling order. */
  readonly dial: readonly string[]
  readonly rule: string
  readonly reason: string
  readonly wouldAllow: string | null
  /** Absent or null: the addresses in `dial` are dialled directly. */
  readonly through?: Through | null
}

export interface Target {
  readonly name: string | null
  readonly address: string | null
  readonly port: number
}

/** From `network` of a request or profile. Rejects with POLICY_INVALID naming the rule. */
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

/** Cache size. Most sandboxes share a few policies; each is parsed, and its examples tested, once. */
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
  // A duplicate on the command line is harmless.
  return { mode: 'allow', allow: [...new Set(text.replace(/^allow:/, '').split(','))] }
}

/** Replaces the preset by its hosts, except those that are also listed explicitly. */
function expanded(wanted: readonly NetworkRule[], hosts: readonly string[]): NetworkRule[] {
  const named = new Set(wanted.map((rule) => (typeof rule === 'string' ? rule : rule.rule)))
  const others = [...new Set(hosts)].filter((host) => !named.has(host))
  return wanted.flatMap((rule) => (rule === REGISTRIES ? others : [rule]))
}

/** `found`: this machine's addresses of the name. `wanted`: a request on an inspected connection; absent: the connection itself. */
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

/** A name's addresses in replay mode, where nobody is asked: a dummy address or none. Undefined: they have to be resolved. */
export function replayed({ policy, configured }: Egress, name: string): readonly string[] | undefined {
  if (policy.cache !== 'replay') return undefined
  return configured.some(({ host }) => host === name) ? [NOWHERE] : []
}

function notKept({ name, address, port }: Target): Decision {
  const reason = `${name ?? address}:${port} is no host whose answers are kept, and nothing else is asked for`
  return { verdict: 'deny', dial: [], rule: 'cache replay', reason, wouldAllow: null }
}

/** The kernel is asked at most once a second, not for each of a thousand connections. */
const HOST_KNOWN_MS = 1000
let known: { readonly addresses: readonly string[]; readonly untilMs: number } | undefined

/** Addresses of this machine's interfaces; the same array as long as they are unchanged. */
export function hostAddresses(): readonly string[] {
  if (known === undefined || known.untilMs < performance.now()) {
    const found = Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address) ?? [])
    const isSame = known?.addresses.join() === found.join()
    known = { addresses: known !== undefined && isSame ? known.addresses : found, untilMs: performance.now() + HOST_KNOWN_MS }
  }
  return known.addresses
}
