import { type Address, addressText, readAddress } from './addresses.ts'
import { type Endpoint, endpointText, isPort } from './endpoint.ts'
import { normaliseName } from './names.ts'
import type { NetworkPolicy } from './network.ts'
import { readPath } from './paths.ts'
import { forbids, type HttpRequest, permits } from './request.ts'
import { closing, formsOf, type OperatorRange, reservationsOf } from './reserved.ts'
import { covers, type Rule } from './rule.ts'

/** Maximum number of addresses in one answer to the gate. */
const MAX_DIAL = 16
/** Maximum number of a name's addresses that are examined: its name server may be hostile, and each address is compared with every rule. */
const MAX_RESOLVED = 64
/** Longest path in reasons. */
const MAX_PATH_TOLD = 200

interface Ground {
  /** `allow *.example.com`, `deny 10.0.0.0/8`, `mode allow`, `reserved private`, `malformed`, `unresolved`. */
  readonly rule: string
  /** A sentence without its full stop. */
  readonly reason: string
  /** The smallest rule that, added to `allow`, would allow it. Null: no rule would, or none is needed. */
  readonly wouldAllow: string | null
}

interface Weighed extends Ground {
  readonly allowed: boolean
}

/** A denied name must not be resolved either, because a DNS query carries data. */
export interface NameVerdict extends Weighed {
  /** Normalised, as it is to be resolved. Null: invalid. */
  readonly name: string | null
}

/** `name` null: the program used an address. With a name, `address` comes from the gate's own pool and is meaningless. */
export interface Asked {
  readonly name: string | null
  readonly address: string | null
  readonly port: number
}

export interface Facts {
  /** The host's lookup result for a name that `decideName` allowed. Null: none. */
  readonly resolved: readonly string[] | null
  readonly operatorAllowed: readonly OperatorRange[]
  /** Addresses of this machine's interfaces. */
  readonly hostAddresses: readonly string[]
}

export interface Verdict extends Ground {
  /** `inspect`: allowed only where each request is judged (`decideRequest`). */
  readonly verdict: 'tunnel' | 'inspect' | 'deny'
  /** The permitted addresses, in the order of `resolved`. They are dialled as they are, so that nothing is resolved again. */
  readonly dial: readonly string[]
}

/** Whether a name may be queried at all. Its ports are judged by `decideConnect`. */
export function decideName(policy: NetworkPolicy, name: string): NameVerdict {
  return weighName(policy, name, null, null)
}

/** Judges a connection before any data has been sent on it. */
export function decideConnect(policy: NetworkPolicy, asked: Asked, facts: Facts): Verdict {
  return decide(policy, asked, facts, null)
}

/** Judges one request on an inspected connection, together with the connection itself. */
export function decideRequest(policy: NetworkPolicy, asked: Asked, facts: Facts, request: HttpRequest): Verdict {
  return decide(policy, asked, facts, request)
}

function decide(policy: NetworkPolicy, asked: Asked, facts: Facts, request: HttpRequest | null): Verdict {
  const { port } = asked
  if (!isPort(port)) return deny(malformed(`${port} is not a port`))
  if (asked.name === null) {
    const address = asked.address === null ? null : readAddress(asked.address)
    if (address === null) return deny(malformed(`${JSON.stringify(asked.address)} is not an address`))
    return join(policy, { name: null, port }, [weighAddress(policy, { name: null, address, port }, facts, request)])
  }
  const named = weighName(policy, asked.name, port, request)
  if (!named.allowed) return deny(named)
  const found = (facts.resolved ?? [])
    .slice(0, MAX_RESOLVED)
    .map(readAddress)
    .filter((address) => address !== null)
  if (found.length === 0) {
    return deny({ rule: 'unresolved', reason: `${JSON.stringify(asked.name)} has no address`, wouldAllow: null })
  }
  const { name } = named
  return join(
    policy,
    { name, port },
    found.map((address) => weighAddress(policy, { name, address, port }, facts, request)),
  )
}

function weighName(policy: NetworkPolicy, asked: string, port: number | null, request: HttpRequest | null): NameVerdict {
  const read = normaliseName(asked)
  if ('refused' in read) {
    return { name: null, allowed: false, ...malformed(`the name ${JSON.stringify(asked)} is refused: ${read.refused}`) }
  }
  return { name: read.name, ...weigh(policy, { name: read.name, address: null, port }, true, request) }
}

interface WeighedAddress extends Weighed {
  readonly address: Address
}

/** Judges one address together with its name. Reserved addresses come first, because no rule of a policy can open them. */
function weighAddress(
  policy: NetworkPolicy,
  endpoint: Endpoint & { address: Address; port: number },
  facts: Facts,
  request: HttpRequest | null,
): WeighedAddress {
  const { address } = endpoint
  const reserved = reservationsOf(address, facts.hostAddresses)
  const closed = closing(reserved, endpoint, facts.operatorAllowed)
  if (closed === undefined) return { address, ...weigh(policy, endpoint, reserved.length === 0, request) }
  const reason = `${describe(endpoint)} is reserved (${closed}), and the operator has not named it`
  return { address, allowed: false, rule: `reserved ${closed}`, reason, wouldAllow: null }
}

/** Deny rules first, then allow rules (or the reverse, if the policy says so), then the mode. */
function weigh(policy: NetworkPolicy, endpoint: Endpoint, isPublic: boolean, request: HttpRequest | null): Weighed {
  const where =
    request === null ? describe(endpoint) : `${request.methods[0]} ${request.scheme}://${describe(endpoint)}${pathText(request)}`
  const allowing = policy.allow.find((rule) => mayAllow(rule, endpoint) && mayPermit(rule, request))
  const denying = policy.deny.find((rule) => formsIn(endpoint).some((form) => covers(rule, form)) && mustForbid(rule, request))
  if (allowing !== undefined && (policy.first === 'allow' || denying === undefined)) {
    return { allowed: true, rule: `allow ${allowing.text}`, reason: `${where} is allowed by ${allowing.text}`, wouldAllow: null }
  }
  const plain = endpointText(endpoint.name === null ? endpoint : { ...endpoint, address: null })
  const smallest = request === null ? plain : `${request.methods.join('|')} ${request.scheme}://${plain}${pathText(request)}`
  if (denying !== undefined) {
    const wouldAllow = policy.first === 'allow' ? smallest : null
    return { allowed: false, rule: `deny ${denying.text}`, reason: `${where} is denied by ${denying.text}`, wouldAllow }
  }
  const rule = `mode ${policy.mode}`
  if (policy.mode === 'open' && isPublic) return { allowed: true, rule, reason: `${where} is public, and not denied`, wouldAllow: null }
  const reason = policy.mode === 'none' ? `${where} is out of reach: the sandbox has no network` : `no rule allows ${where}`
  return { allowed: false, rule, reason, wouldAllow: smallest }
}

/** Without a request, a connection is allowed if some request on it may be. */
function mayPermit({ requests }: Rule, request: HttpRequest | null): boolean {
  return requests === null || request === null || permits(requests, request)
}

function mustForbid({ requests }: Rule, request: HttpRequest | null): boolean {
  return requests === null || (request !== null && forbids(requests, request))
}

/** The path as rules see it: without its query, which may contain anything; empty if no rule could match it. */
function pathText({ path }: HttpRequest): string {
  const [plain = ''] = path.split('?')
  return 'segments' in readPath(plain) ? plain.slice(0, MAX_PATH_TOLD) : ''
}

/** Without a port, a name counts as allowed if it is allowed at any port. */
function mayAllow(rule: Rule, endpoint: Endpoint): boolean {
  return covers(rule, endpoint.port === null ? { ...endpoint, port: rule.port } : endpoint)
}

/** The forms of an address to test for denials: a denied IPv4 address is also denied when it is embedded in an IPv6 address. */
function formsIn(endpoint: Endpoint): Endpoint[] {
  return endpoint.address === null ? [endpoint] : formsOf(endpoint.address).map((address) => ({ ...endpoint, address }))
}

function join(policy: NetworkPolicy, where: { name: string | null; port: number }, weighed: readonly WeighedAddress[]): Verdict {
  const passed = weighed.filter(({ allowed }) => allowed)
  const [first] = passed
  if (first !== undefined) {
    const dial = [...new Set(passed.map(({ address }) => addressText(address)))].slice(0, MAX_DIAL)
    const endpoints = passed.map(({ address }) => ({ ...where, address }))
    const verdict = endpoints.some((endpoint) => needsInspection(policy, endpoint)) ? 'inspect' : 'tunnel'
    return { verdict, dial, rule: first.rule, reason: first.reason, wouldAllow: null }
  }
  // A reason that a rule could remedy is more useful than one that no rule could.
  const told = weighed.find(({ wouldAllow }) => wouldAllow !== null) ?? weighed[0]
  return deny(told ?? malformed('there is no address to connect to'))
}

/** Whether the policy depends on anything that cannot be seen without inspection. */
function needsInspection(policy: NetworkPolicy, endpoint: Endpoint): boolean {
  const looks = ({ requests }: Rule) => requests !== null
  const here = (rule: Rule) => formsIn(endpoint).some((form) => covers(rule, form))
  return (
    (policy.inspect && !isTunnelled(policy, endpoint)) ||
    policy.headers.some(({ rule }) => covers(rule, endpoint)) ||
    [...policy.allow, ...policy.deny].some((rule) => looks(rule) && here(rule))
  )
}

/** Not HTTP, and allowed to leave without being searched. */
function isTunnelled({ dlp }: NetworkPolicy, endpoint: Endpoint): boolean {
  return dlp?.tunnel.some((rule) => covers(rule, endpoint)) === true
}

/** Whether any connection could require inspection. */
export function mayInspect({ inspect, cache, headers, allow, deny }: NetworkPolicy): boolean {
  return inspect || cache !== 'off' || headers.length > 0 || [...allow, ...deny].some(({ requests }) => requests !== null)
}

function deny({ rule, reason, wouldAllow }: Ground): Verdict {
  return { verdict: 'deny', dial: [], rule, reason, wouldAllow }
}

function malformed(reason: string): Ground {
  return { rule: 'malformed', reason, wouldAllow: null }
}

function describe(endpoint: Endpoint): string {
  if (endpoint.name === null || endpoint.address === null) return endpointText(endpoint)
  return `${endpointText({ ...endpoint, address: null })} (${addressText(endpoint.address)})`
}
