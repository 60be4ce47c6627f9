import { Fault, type NetworkFile, type NetworkHeaders, type NetworkProxy } from '@caisson/wire'
import { z } from 'zod'
import { rangeText, readRange } from './addresses.ts'
import { idleRules } from './network.ts'
import { readProxy } from './proxy.ts'
import { coversAllOf, RuleEntry, readRule } from './rule.ts'

const MAX_RULES = 1000
const ALL_TRAFFIC = '0.0.0.0/0'

const Texts = z.array(z.string().max(255)).max(MAX_RULES)

/** Maximum length in SOCKS5. */
const Word = z
  .string()
  .min(1)
  .refine((text) => Buffer.byteLength(text) <= 255, 'is longer than 255 bytes')

const MAX_TRANSFORMED = 10
const MAX_HEADERS = 20
/** An empty one is valid, as in E2B's types. */
const Transform = z.strictObject({
  transform: z
    .strictObject({
      headers: z
        .record(z.string().min(1).max(64), z.string().max(2048))
        .refine((headers) => Object.keys(headers).length <= MAX_HEADERS, `more than ${MAX_HEADERS} headers`)
        .optional(),
    })
    .optional(),
})

/** The fields of E2B's `network` that control outgoing traffic. */
export const E2B_EGRESS = {
  allowOut: Texts.optional(),
  denyOut: Texts.optional(),
  egressProxy: z
    .strictObject({
      address: z.string().min(1).max(300),
      username: Word.optional(),
      password: Word.optional(),
      tls: z
        .strictObject({ enabled: z.boolean(), serverName: z.string().max(253).optional(), caCert: z.string().max(8192).optional() })
        .nullish(),
    })
    .nullish(),
  /** Keyed by domain, exact or with one leading `*.`. */
  rules: z
    .record(z.string().max(255), z.array(Transform).max(1))
    .refine((rules) => Object.keys(rules).length <= MAX_TRANSFORMED, `more than ${MAX_TRANSFORMED} domains`)
    .nullish(),
}

/** The same with its sibling field: the body of PUT /network. */
export const E2bNetwork = z.strictObject({ ...E2B_EGRESS, allow_internet_access: z.boolean().optional() })
export type E2bNetwork = z.infer<typeof E2bNetwork>

/**
 * Converts E2B's semantics: everything is open except what is denied, and allow wins over deny. Closed networks get a gate too, so that they can be opened
 * later. `field`: the prefix of the lists' names (`network.`). The proxy's password is not included: the host has to seal it. Throws BAD_REQUEST.
 */
export function fileOfE2b(network: E2bNetwork, field: string): Exclude<NetworkFile, { mode: 'none' }> {
  const denied = (network.denyOut ?? []).map((text, index) => readDenied(text, `${field}denyOut.${index}`))
  const allowed = (network.allowOut ?? []).map((text, index) => readAllowed(text, `${field}allowOut.${index}`))
  const name = allowed.find(({ isName }) => isName)
  if (name !== undefined && !denied.includes(ALL_TRAFFIC)) {
    throw new Fault('BAD_REQUEST', `${field}allowOut: ${name.rule} is a domain, and domains are only let through when all else is denied`, {
      hint: `Add ${ALL_TRAFFIC} to ${field}denyOut.`,
    })
  }
  if (network.allow_internet_access === false) denied.unshift(ALL_TRAFFIC)
  const allow = distinct(allowed.map(({ rule }) => rule))
  const deny = distinct(denied)
  // Denying 0.0.0.0/0 includes IPv6, which E2B's sandboxes lack. Allowing it includes names.
  const isClosed = deny.includes(ALL_TRAFFIC) && !allow.includes(ALL_TRAFFIC)
  const headers = headersOf(network.rules ?? {}, `${field}rules`)
  const lists = { mode: isClosed ? 'allow' : 'open', first: 'allow', allow, deny: withoutIdle(deny, allow, field) } as const
  const proxy = proxyOf(network.egressProxy ?? null, `${field}egressProxy`)
  return { ...lists, ...(headers.length === 0 ? {} : { headers }), ...(proxy === null ? {} : { proxy }) }
}

function proxyOf(said: E2bNetwork['egressProxy'] | null, field: string): NetworkProxy | null {
  if (!said) return null
  const { password, username, address, tls } = said
  if (tls?.enabled) {
    throw new Fault('UNSUPPORTED', `${field}.tls: a proxy is spoken to in plain SOCKS5, and not within TLS`, {
      hint: `Leave ${field}.tls out.`,
    })
  }
  const proxy = { address, ...(username === undefined ? {} : { username }) }
  if (password !== undefined && username === undefined) throw new Fault('BAD_REQUEST', `${field}.password: it needs a username`)
  return inTheirTerms(() => {
    readProxy(proxy, field)
    return proxy
  })
}

/** E2B does not merge the headers of several rules, as would happen here; rules whose domains overlap are therefore refused. */
function headersOf(rules: NonNullable<E2bNetwork['rules']>, field: string): NetworkHeaders[] {
  const said = Object.entries(rules).flatMap(([domain, entries]) => {
    const place = `${field}.${domain}`
    const rule = readAllowed(domain, place)
    if (!rule.isName) throw new Fault('BAD_REQUEST', `${place}: ${domain} is not a domain`)
    const [headers = {}] = entries.map(({ transform }) => transform?.headers)
    const token = Object.values(headers).find((value) => value.includes('${'))
    if (token !== undefined) {
      throw new Fault('UNSUPPORTED', `${place}: ${token}: there is nobody here who issues workload tokens`, {
        hint: 'Write the value itself.',
      })
    }
    return Object.keys(headers).length === 0 ? [] : [{ host: rule.rule, scheme: 'https' as const, headers }]
  })
  for (const [index, { host }] of said.entries()) {
    const other = said.find((one, at) => at !== index && coversAllOf(ruleOf(one.host, field), ruleOf(host, field)))
    if (other !== undefined)
      throw new Fault('UNSUPPORTED', `${field}: ${other.host} covers ${host} too`, { hint: 'Let no domain of rules cover another.' })
  }
  return said
}

/** A deny rule silenced by an allow rule is an error in a policy, but not for E2B's clients. */
function withoutIdle(deny: readonly string[], allow: readonly string[], field: string): string[] {
  const [strong, weak] = [allow, deny].map((texts) => texts.map((text) => ruleOf(text, field)))
  const idle = new Set(idleRules(strong ?? [], weak ?? []).map(({ index }) => index))
  return deny.filter((_, index) => !idle.has(index))
}

function readDenied(text: string, place: string): string {
  const range = readRange(text)
  if (range === null) throw new Fault('BAD_REQUEST', `${place}: ${text} is not an IP address or a CIDR range`)
  return rangeText(range)
}

function readAllowed(text: string, place: string): { rule: string; isName: boolean } {
  const range = readRange(text)
  if (range !== null) return { rule: rangeText(range), isName: false }
  // The same rules as a policy's, without a port.
  if (/[/:]/.test(text)) throw new Fault('BAD_REQUEST', `${place}: ${text} is not a domain, an IP address or a CIDR range`)
  return inTheirTerms(() => ({ rule: ruleOf(text, place).text, isName: true }))
}

/** Reports an invalid policy as a bad request, in E2B's terms. */
function inTheirTerms<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof Fault) throw new Fault('BAD_REQUEST', cause.message, { cause })
    throw cause
  }
}

function ruleOf(text: string, place: string) {
  const entry = RuleEntry.safeParse(text)
  if (!entry.success) throw new Fault('BAD_REQUEST', `${place}: ${JSON.stringify(text)} is no rule: ${entry.error.issues[0]?.message}`)
  return readRule(entry.data, place)
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)]
}
