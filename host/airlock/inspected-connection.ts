import { covers, decideName, filledIn, type HeaderRule } from '@caisson/policy'
import type { GateRequest, NetworkRecord } from '@caisson/wire'
import { DlpPassage } from './dlp-passage.ts'
import { withholding } from './dlp-withheld.ts'
import { type Decision, decide, type Egress, isConfigured, replayed, type Target } from './egress.ts'
import { type Beyond, byProxy } from './egress-proxy.ts'
import type { Guest } from './guest.ts'
import { credentials, type Put } from './inspect/credentials.ts'
import type { Keep } from './inspect/from-kept.ts'
import type { Inspected, Judged, Wanted } from './inspect/inspected.ts'
import type { KeptAnswers } from './inspect/kept-answers.ts'
import { joined } from './inspect/passage.ts'
import type { Refusal } from './refusal-page.ts'

/** Longest path in the log. */
const MAX_PATH = 300

export interface InspectedParts {
  readonly sandbox: string
  readonly asked: Extract<GateRequest, { ask: 'connect' }>
  /** The name's addresses when the connection was allowed. */
  readonly addresses: readonly string[]
  guest(): Guest | undefined
  lookUp(name: string): Promise<readonly string[]>
  /** Undefined: no such secret. */
  secret(name: string): Promise<string | undefined>
  beyond(egress: Egress): Promise<Beyond | null>
  /** The cache for answers of package registries. */
  readonly answers: KeptAnswers
  reset(): void
}

/** A gate's connection, as the judge of its requests. */
export class InspectedConnection implements Inspected {
  readonly sandbox: string
  readonly name: string | null
  readonly address: string | null
  readonly port: number
  readonly isProxied: boolean
  readonly #parts: InspectedParts

  constructor(parts: InspectedParts) {
    const { name, address, port, way } = parts.asked
    this.sandbox = parts.sandbox
    this.name = name
    this.address = name === null ? address : null
    this.port = port
    this.isProxied = way === 'http-proxy'
    this.#parts = parts
  }

  begin(): (() => void) | string {
    const guest = this.#parts.guest()
    return guest === undefined ? () => undefined : guest.begin()
  }

  async judge(wanted: Wanted): Promise<Judged> {
    const { asked, addresses } = this.#parts
    const target: Target = wanted.target ?? asked
    const isOther = target.name !== asked.name || target.port !== asked.port
    const before = this.#parts.guest()?.egress
    const [found, known] = await Promise.all([
      isOther ? this.#found(target.name) : addresses,
      before === undefined || before.policy.proxy === null ? null : this.#parts.beyond(before),
    ])
    const egress = this.#parts.guest()?.egress
    if (egress === undefined) return { allowed: false, refusal: unknown }
    const decision = byProxy(decide(egress, target, found, wanted), egress, known)
    const puts = decision.verdict === 'deny' ? [] : await this.#puts(egress, target, wanted)
    // The rules have changed meanwhile.
    if (this.#parts.guest()?.egress !== egress) return await this.judge(wanted)
    const missing = puts.find(({ put }) => put === undefined)
    const { rule, reason, wouldAllow, dial, through = null } = missing === undefined ? decision : withoutSecret(missing.header)
    const isAllowed = decision.verdict !== 'deny' && missing === undefined
    const secrets = puts.flatMap(({ header }) => header.secret ?? [])
    if (!this.#recorded(wanted, target, { rule, reason, wouldAllow }, isAllowed ? 'allow' : 'deny', secrets)) {
      return { allowed: false, refusal: unrecorded }
    }
    if (!isAllowed) return { allowed: false, refusal: { rule, reason, wouldAllow } }
    const put = puts.flatMap(({ put }) => put ?? [])
    const outflow = this.#parts.guest()?.outflow ?? null
    // The sandbox's own data is searched before credentials are added to it.
    const search = outflow === null ? [] : [new DlpPassage(outflow, target)]
    const passages = [...search, ...(put.length === 0 ? [] : [credentials(put)])]
    const passage = passages.length === 0 ? null : joined(passages)
    const keep = keepOf(egress, target, put, this.#parts.answers)
    return { allowed: true, name: target.name, port: target.port, dial, through, passage, keep }
  }

  refuse(wanted: Wanted | null, rule: string, reason: string): Refusal {
    const refusal = { rule, reason, wouldAllow: null }
    // It is refused whether or not it can be recorded.
    this.#recorded(wanted, wanted?.target ?? this.#parts.asked, refusal, 'deny', [])
    return refusal
  }

  reset(): void {
    this.#parts.reset()
  }

  /** Names that the sandbox may not query are never looked up. */
  async #found(name: string | null): Promise<readonly string[]> {
    const egress = this.#parts.guest()?.egress
    if (name === null || egress === undefined || !decideName(egress.policy, name).allowed) return []
    return replayed(egress, name) ?? (await this.#parts.lookUp(name))
  }

  async #puts({ policy }: Egress, target: Target, wanted: Wanted): Promise<{ header: HeaderRule; put: Put | undefined }[]> {
    const here = policy.headers.filter((rule, index, all) => {
      const isMeant = (one: HeaderRule) => speaksOf(one, target, wanted.scheme)
      return isMeant(rule) && all.findIndex((other) => other.header === rule.header && isMeant(other)) === index
    })
    return await Promise.all(here.map(async (header) => ({ header, put: await this.#put(header) })))
  }

  async #put({ header, value, secret }: HeaderRule): Promise<Put | undefined> {
    if (secret === null) return { header, value, secret }
    const known = await this.#parts.secret(secret)
    return known === undefined ? undefined : { header, value: filledIn(value, known), secret: known }
  }

  #recorded(
    wanted: Wanted | null,
    { name, address, port }: Target,
    refusal: Refusal,
    verdict: 'allow' | 'deny',
    secrets: readonly string[],
  ): boolean {
    const { sandbox, asked } = this.#parts
    const guest = this.#parts.guest()
    const told = withholding(guest?.outflow ?? null, wanted?.path ?? '')
    const where = { name: name === null ? null : (guest?.names?.told(name) ?? name), address: name === null ? address : null, port }
    const { rule, reason, wouldAllow } = refusal
    const ground = { rule, reason: told(reason), wouldAllow: wouldAllow === null ? null : told(wouldAllow) }
    const about = { sandbox, connection: asked.connection, ...where, verdict, ...ground }
    const record: NetworkRecord =
      wanted === null
        ? { kind: 'network', ...about, way: asked.way }
        : {
            kind: 'network-request',
            ...about,
            scheme: wanted.scheme,
            method: wanted.method,
            path: told(plainPath(wanted)).slice(0, MAX_PATH),
            secrets: [...secrets],
          }
    return guest?.recorded(record) === true
  }
}

const unknown: Refusal = { rule: 'unknown', reason: 'the host knows no such sandbox', wouldAllow: null }
const unrecorded: Refusal = { rule: 'audit', reason: 'what cannot be recorded does not happen', wouldAllow: null }

/** Only for the preset's hosts, and only for requests without credentials. */
function keepOf(egress: Egress, target: Target, put: readonly Put[], answers: KeptAnswers): Keep | null {
  const { cache } = egress.policy
  if (cache === 'off' || !isConfigured(egress, target)) return null
  return put.length > 0 && cache !== 'replay' ? null : { answers, isReplay: cache === 'replay' }
}

function withoutSecret({ secret }: HeaderRule): Omit<Decision, 'verdict'> {
  return { dial: [], rule: `secret ${secret}`, reason: `its secret ${secret} is not stored any more`, wouldAllow: null }
}

function speaksOf({ rule, scheme }: HeaderRule, { name, port }: Target, wanted: 'http' | 'https'): boolean {
  return (scheme === null || scheme === wanted) && covers(rule, { name, address: null, port })
}

/** The query may contain anything. */
function plainPath({ path }: Wanted): string {
  return path.split('?')[0] ?? ''
}
