import { Fault } from '@caisson/wire'
import type { Visit } from '../call.ts'
import { isSame } from '../tokens.ts'
import { expirationOf, type Question, sign } from './signed-links.ts'

/** Throws UNAUTHENTICATED unless the request carries the sandbox's token. */
export function checkToken(visit: Visit): void {
  const { accessToken } = visit.entered.record
  if (accessToken === null || isSame(shownToken(visit) ?? '', accessToken)) return
  throw refused('unauthorized access, please provide a valid access token or method signing if supported')
}

/** The same for files, where a signature is sufficient. The texts are E2B's. */
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

function shownToken({ request }: Question): string | undefined {
  const shown = request.headers['x-access-token']
  return Array.isArray(shown) ? shown[0] : shown === '' ? undefined : shown
}

function refused(message: string): Fault {
  return new Fault('UNAUTHENTICATED', message, { hint: 'Send the envdAccessToken of the sandbox in X-Access-Token.' })
}
