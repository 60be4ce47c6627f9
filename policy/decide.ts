import { type Address, addressText, readAddress } from './addresses.ts'
import { type Endpoint, endpointText, isPort } from './endpoint.ts'
import { normaliseName } from './names.ts'
import type { NetworkPolicy } from './network.ts'
import { readPath } from './paths.ts'
import { forbids, type HttpRequest, permits } from './request.ts'
import { closing, formsOf, type OperatorRange, reservationsOf } from './reserved.ts'
import { covers, type Rule } from './rule.ts'

/** Addresses that one answer to the gate holds at most. */
const MAX_DIAL = 16
/** Addresses of one name that are looked at: its name server may be the attacker's, and each is held against every rule. */
const MAX_RESOLVED = 64
/** Of a path, in reasons. */
const MAX_PATH_TOLD = 200

interface Ground {
  /** `allow *.example.com`, `deny 10.0.0.0/8`, `mode allow`, `reserved private`, `malformed`, `unresolved`. */
  readonly rule: string
  /** A sentence without its dot. */
  readonly reason: string
  /** The smallest rule which, added to `allow`, would let it through. Null: none would, or none needs to. */
  readonly wouldAllow: string | null
}

interface Weighed extends Ground {
  readonly allowed: boolean
}

/** Not allowed: it must not be resolved either, as a question to a name server carries data. */
export interface NameVerdict extends Weighed {
  /** Normal, as it is to be resolved. Null: it is none. */
  readonly name: string | null
}

/** `name` null: an address was used. With a name, `address` is the gate's own and says nothing. */
export interface Asked {
  readonly name: string | null
  readonly address: string | null
  readonly port: number
}

export interface Facts {
  /** What the host found for the name that `decideName` allowed. Null: nothing. */
  readonly resolved: readonly string[] | null
  readonly operatorAllowed: readonly OperatorRange[]
  /** Of this machine's interfaces. */
  readonly hostAddresses: readonly string[]
}

export interface Verdict extends Ground {
  /** `inspect`: it may be had where each of its requests is judged (`decideRequest`). */
  readonly verdict: 'tunnel' | 'inspect' | 'deny'
  /** Those that passed, in the order of `resolved`, and no others; as they are to be dialled, so that nothing is looked up again. */
  readonly dial: readonly string[]
}

/** Whether a name may be asked for at all; at which ports it may be connected to is for `decideConnect`. */
export function decideName(policy: NetworkPolicy, name: string): NameVerdict {
  return weighName(policy, name, null, null)
}

/** A connection, before anything has been said on it. */
export function decideConnect(policy: NetworkPolicy, asked: Asked, facts: Facts): Verdict {
  return decide(policy, asked, facts, null)
}

/** One request on a connection that is looked into; everything about the connection is judged again with it. */
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

/** One address, with the name that led to it. What it is reserved for comes first: no rule of a policy speaks to that. */
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

/** First deny, then allow (or the other way, where the policy says so), else the mode. */
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

/** Before there is a request, a connection is let through on which there may be one that is allowed. */
function mayPermit({ requests }: Rule, request: HttpRequest | null): boolean {
  return requests === null || request === null || permits(requests, request)
}

function mustForbid({ requests }: Rule, request: HttpRequest | null): boolean {
  return requests === null || (request !== null && forbids(requests, request))
}

/** As a rule has it: without its query, which may hold anything, and where no rule could speak of it, nothing. */
function pathText({ path }: HttpRequest): string {
  const [plain = ''] = path.split('?')
  return 'segments' in readPath(plain) ? plain.slice(0, MAX_PATH_TOLD) : ''
}

/** Before its port is known, a name that is allowed at any port is. */
function mayAllow(rule: Rule, endpoint: Endpoint): boolean {
  return covers(rule, endpoint.port === null ? { ...endpoint, port: rule.port } : endpoint)
}

/** What a denial has to be tried on: a denied v4 address is denied in its v6 clothes too. */
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
  // One that a rule would mend says more than one that nothing would.
  const told = weighed.find(({ wouldAllow }) => wouldAllow !== null) ?? weighed[0]
  return deny(told ?? malformed('there is no address to connect to'))
}

/** Whether the policy says anything of it that is not seen from outside. */
function needsInspection(policy: NetworkPolicy, endpoint: Endpoint): boolean {
  const looks = ({ requests }: Rule) => requests !== null
  const here = (rule: Rule) => formsIn(endpoint).some((form) => covers(rule, form))
  return (
    (policy.inspect && !isTunnelled(policy, endpoint)) ||
    policy.headers.some(({ rule }) => covers(rule, endpoint)) ||
    [...policy.allow, ...policy.deny].some((rule) => looks(rule) && here(rule))
  )
}

/** What is no HTTP, and may leave without being searched. */
function isTunnelled({ dlp }: NetworkPolicy, endpoint: Endpoint): boolean {
  return dlp?.tunnel.some((rule) => covers(rule, endpoint)) === true
}

/** Whether a connection could ever be looked into. */
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
