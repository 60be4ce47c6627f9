import { createHash, type Hash, timingSafeEqual } from 'node:crypto'
import { Fault } from '@caisson/wire'
import type { Fleet } from '../../sandbox/fleet.ts'
import type { SandboxRecord } from '../../sandbox/record.ts'
import type { Call } from '../call.ts'

export type Question = Pick<Call, 'request' | 'query'>

const SIGNATURE = /^v1_[A-Za-z0-9+/]{43}$/
/** Limit on failed token checks, worth a few hundredths of a CPU. Such callers are unauthenticated. */
const TRIES_PER_SECOND = 20_000
const TRIES_AT_ONCE = 2 * TRIES_PER_SECOND

/** Links without a sandbox id, as E2B's SDKs make them where all sandboxes share one address. The token of every live sandbox is tried. */
export class SignedLinks {
  readonly #now: () => number
  #left = TRIES_AT_ONCE
  #filledMs: number

  constructor(now: () => number = Date.now) {
    this.#now = now
    this.#filledMs = now()
  }

  /** The sandbox whose token signed the link. Throws OVERLOADED after too many failed attempts. */
  find(call: Question, fleet: Pick<Fleet, 'live'>): SandboxRecord | undefined {
    const signature = call.query.get('signature')
    if (signature === null || !SIGNATURE.test(signature)) return undefined
    const expiration = expirationOf(call.query)
    // Expired: refused whoever signed it.
    if (expiration !== null && expiration < Math.floor(this.#now() / 1000)) return undefined
    if (this.#fill() <= 0) {
      const hint = 'Try again; or name the sandbox, by its host or the header E2b-Sandbox-Id.'
      throw new Fault('OVERLOADED', 'too many links were followed that no sandbox has made', { hint, retryAfterS: 1 })
    }
    const given = Buffer.from(signature)
    const begun = beginning(call)
    const found: SandboxRecord[] = []
    let tries = 0
    // All are checked even after a match, so that timing reveals nothing.
    for (const record of fleet.live()) {
      if (record.accessToken === null) continue
      tries += 1
      if (timingSafeEqual(given, Buffer.from(ended(begun.copy(), record.accessToken, expiration)))) found.push(record)
    }
    if (found.length === 1) return found[0]
    this.#left -= tries
    return undefined
  }

  #fill(): number {
    const now = this.#now()
    const more = (Math.max(0, now - this.#filledMs) / 1000) * TRIES_PER_SECOND
    this.#left = Math.min(TRIES_AT_ONCE, this.#left + more)
    this.#filledMs = now
    return this.#left
  }
}

/** Source: E2B's signed links. Path and user are signed as written, before normalisation. */
export function sign(question: Question, token: string): string {
  return ended(beginning(question), token, expirationOf(question.query))
}

/** The hash state common to all signers; its input may be long. */
function beginning({ request, query }: Question): Hash {
  const operation = request.method === 'GET' ? 'read' : 'write'
  return createHash('sha256').update(`${query.get('path') ?? ''}:${operation}:${query.get('username') ?? ''}:`)
}

function ended(begun: Hash, token: string, expiration: number | null): string {
  const text = expiration === null ? token : `${token}:${expiration}`
  return `v1_${begun.update(text).digest('base64').replace(/=+$/, '')}`
}

export function expirationOf(query: URLSearchParams): number | null {
  const text = query.get('signature_expiration')
  if (text === null) return null
  if (!/^-?\d{1,15}$/.test(text)) throw new Fault('BAD_REQUEST', `signature_expiration: ${JSON.stringify(text)} is no time in seconds`)
  return Number(text)
}
