import { createHash, timingSafeEqual } from 'node:crypto'
import { Fault } from '@caisson/wire'
import type { Fleet } from '../../sandbox/fleet.ts'
import type { SandboxRecord } from '../../sandbox/record.ts'
import type { Call, Visit } from '../call.ts'
import { isSame } from '../tokens.ts'

type Question = Pick<Call, 'request' | 'query'>

/** Throws UNAUTHENTICATED unless the token of the sandbox is shown. */
export function checkToken(visit: Visit): void {
  const { accessToken } = visit.entered.record
  if (accessToken === null || isSame(shownToken(visit) ?? '', accessToken)) return
  throw refused('unauthorized access, please provide a valid access token or method signing if supported')
}

/** The same for files, where a signature will do. The texts are E2B's. */
export function checkTokenOrSignature(visit: Visit): void {
  const { accessToken } = visit.entered.record
  if (accessToken === null) return
  const shown = shownToken(visit)
  if (shown !== undefined) {
    if (isSame(shown, accessToken)) return
    throw refused('access token present in header but does not match')
  }
  const signature = visit.query.get('signature')
  if (signature === null) throw refused('missing signature query parameter')
  if (!isSame(signature, sign(visit, accessToken))) throw refused('invalid signature')
  const expiration = expirationOf(visit.query)
  if (expiration !== null && expiration < Math.floor(Date.now() / 1000)) throw refused('signature is already expired')
}

/** Whose token the signature of a link without a sandbox's id was made with. */
export function findSigned(call: Question, fleet: Pick<Fleet, 'live'>): SandboxRecord | undefined {
  const signature = call.query.get('signature')
  if (signature === null) return undefined
  const found: SandboxRecord[] = []
  const given = Buffer.from(signature)
  // All are looked at, whatever is found: how long it takes tells nothing.
  for (const record of fleet.live()) {
    if (record.accessToken === null) continue
    const expected = Buffer.from(sign(call, record.accessToken))
    if (given.length === expected.length && timingSafeEqual(given, expected)) found.push(record)
  }
  return found.length === 1 ? found[0] : undefined
}

/** Source: E2B's signed links. The path and the user are as they were written, not as they are understood. */
function sign({ request, query }: Question, token: string): string {
  const operation = request.method === 'GET' ? 'read' : 'write'
  const expiration = expirationOf(query)
  const parts = [query.get('path') ?? '', operation, query.get('username') ?? '', token, ...(expiration === null ? [] : [expiration])]
  return `v1_${createHash('sha256').update(parts.join(':')).digest('base64').replace(/=+$/, '')}`
}

function expirationOf(query: URLSearchParams): number | null {
  const text = query.get('signature_expiration')
  if (text === null) return null
  if (!/^-?\d{1,15}$/.test(text)) throw new Fault('BAD_REQUEST', `signature_expiration: ${JSON.stringify(text)} is no time in seconds`)
  return Number(text)
}

function shownToken({ request }: Question): string | undefined {
  const shown = request.headers['x-access-token']
  return Array.isArray(shown) ? shown[0] : shown === '' ? undefined : shown
}

function refused(message: string): Fault {
  return new Fault('UNAUTHENTICATED', message, { hint: 'Send the envdAccessToken of the sandbox in X-Access-Token.' })
}
