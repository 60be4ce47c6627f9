import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

const BEARER = /^bearer +(\S+)$/i

/** Takes as long for a wrong token as for the right one; how long the right one is, is no secret. */
export function isSame(given: string, wanted: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(wanted)]
  return one.length === other.length && timingSafeEqual(one, other)
}

/** The key that a request of the control plane shows. */
export function shownKey(request: IncomingMessage): string | undefined {
  const key = request.headers['x-api-key']
  if (typeof key === 'string' && key !== '') return key
  return BEARER.exec(request.headers.authorization ?? '')?.[1]
}
