import { z } from 'zod'
import { Credential, type HeaderRule, Headers, readCredential, readHeaders } from './credential.ts'
import { DlpFile } from './dlp/file.ts'
import { compileDlp, type DlpPolicy } from './dlp/policy.ts'
import { type EgressProxy, ProxyEntry, readProxy } from './proxy.ts'
import { covers, coversAllOf, invalid, proveKinds, type Rule, RuleEntry, readRule } from './rule.ts'

const MAX_RULES = 1000
const MAX_CREDENTIALS = 100

const Rules = {
  /** Which list wins when both cover a connection. */
  first: z.enum(['deny', 'allow']).default('deny'),
  allow: z.array(RuleEntry).max(MAX_RULES).default([]),
  deny: z.array(RuleEntry).max(MAX_RULES).default([]),
  /** Data loss prevention; with it, all allowed traffic is inspected. */
  dlp: DlpFile.optional(),
  /** True: every connection is inspected, and those that are not HTTP end. False: only those for which some rule needs it. */
  inspect: z.boolean().default(false),
  /** Answers of the preset's hosts. `keep`: cache and revalidate them. `replay`: use only cached ones and ask nobody. */
  cache: z.enum(['off', 'keep', 'replay']).default('off'),
  credentials: z.array(Credential).max(MAX_CREDENTIALS).default([]),
  headers: z.array(Headers).max(MAX_CREDENTIALS).default([]),
  proxy: ProxyEntry.optional(),
}

/**
 * The network section of a profile. `none`: no network. `allow`: only what is listed, hence nothing if the list is empty. `open`: all public addresses that are
 * not denied. Presets have been expanded to names before.
 */
export const PolicyFile = z.discriminatedUnion('mode', [
  z.strictObject({ mode: z.literal('none') }),
  z.strictObject({ mode: z.literal('allow'), ...Rules }),
  z.strictObject({ mode: z.literal('open'), ...Rules }),
])

export interface NetworkPolicy {
  readonly mode: 'none' | 'allow' | 'open'
  readonly first: 'deny' | 'allow'
  readonly allow: readonly Rule[]
  readonly deny: readonly Rule[]
  readonly dlp: DlpPolicy | null
  readonly inspect: boolean
  readonly cache: 'off' | 'keep' | 'replay'
  /** Fields that the gate sets on requests; the first rule for a field decides. */
  readonly headers: readonly HeaderRule[]
  /** Null: connections go out directly from this machine. */
  readonly proxy: EgressProxy | null
}

/** `place`: its location, for messages. Throws POLICY_INVALID naming the rule and the reason. */
export function readPolicy(input: unknown, place: string): NetworkPolicy {
  const read = PolicyFile.safeParse(input)
  if (!read.success) {
    const issue = read.error.issues[0]
    throw invalid([place, ...(issue?.path ?? [])].join('.'), issue?.message ?? 'not a network policy')
  }
  const policy = compile(read.data, place)
  refuseRepeated(policy.allow, `${place}.allow`)
  refuseRepeated(policy.deny, `${place}.deny`)
  refuseIdle(policy, place)
  refuseUnreachable(policy, place)
  return policy
}

const CLOSED: NetworkPolicy = Object.freeze({
  mode: 'none',
  first: 'deny',
  allow: [],
  deny: [],
  inspect: false,
  cache: 'off',
  headers: [],
  dlp: null,
  proxy: null,
})

export function compile(file: z.infer<typeof PolicyFile>, place: string): NetworkPolicy {
  proveKinds()
  if (file.mode === 'none') return CLOSED
  return Object.freeze({
    mode: file.mode,
    first: file.first,
    allow: file.allow.map((entry, index) => readRule(entry, `${place}.allow.${index}`)),
    deny: file.deny.map((entry, index) => readRule(entry, `${place}.deny.${index}`)),
    // Data can only be searched on inspected connections.
    inspect: file.inspect || file.dlp !== undefined,
    cache: file.cache,
    headers: [
      ...file.credentials.map((entry, index) => readCredential(entry, `${place}.credentials.${index}`)),
      ...file.headers.flatMap((entry, index) => readHeaders(entry, `${place}.headers.${index}`)),
    ],
    dlp: file.dlp === undefined ? null : compileDlp(file.dlp, `${place}.dlp`),
    proxy: file.proxy === undefined ? null : readProxy(file.proxy, `${place}.proxy`),
  })
}

function refuseRepeated(rules: readonly Rule[], place: string): void {
  const seen = new Map<string, number>()
  for (const [index, { text }] of rules.entries()) {
    const before = seen.get(text)
    if (before !== undefined) throw invalid(`${place}.${index}`, `${JSON.stringify(text)} stands at ${place}.${before} already`)
    seen.set(text, index)
  }
}

/** Refuses a rule that has no effect because another one silences it. */
function refuseIdle({ first, allow, deny }: NetworkPolicy, place: string): void {
  const [strong, weak] = first === 'deny' ? [deny, allow] : [allow, deny]
  const second = first === 'deny' ? 'allow' : 'deny'
  const [idle] = idleRules(strong, weak)
  if (idle === undefined) return
  const by = `${JSON.stringify(strong[idle.over]?.text)} at ${place}.${first}.${idle.over}`
  throw invalid(`${place}.${second}.${idle.index}`, `${JSON.stringify(weak[idle.index]?.text)} never takes effect: ${by} covers it all`)
}

/** The check helps people, whose lists are short; comparing two long lists would block everybody. */
const MAX_COMPARED = 100_000

/** The indexes of weak rules that a strong rule covers entirely. */
export function idleRules(strong: readonly Rule[], weak: readonly Rule[]): { readonly index: number; readonly over: number }[] {
  if (strong.length * weak.length > MAX_COMPARED) return []
  return weak.map((rule, index) => ({ index, over: strong.findIndex((other) => coversAllOf(other, rule)) })).filter(({ over }) => over >= 0)
}

/** A secret for an unreachable host is a typing error in one place or the other. */
function refuseUnreachable({ mode, allow, headers }: NetworkPolicy, place: string): void {
  if (mode !== 'allow') return
  for (const [index, { rule, secret }] of headers.entries()) {
    // Credentials come first.
    if (secret === null) continue
    const isReached = allow.some((one) => rule.corners.some((corner) => covers(one, { ...corner, port: one.port ?? rule.port })))
    if (!isReached) throw invalid(`${place}.credentials.${index}`, `no rule of ${place}.allow leads to ${rule.text}`)
  }
}
