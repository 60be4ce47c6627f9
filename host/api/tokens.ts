import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

const BEARER = /^bearer +(\S+)$/i

/** Takes as long for a wrong token as for the right one, whatever their lengths. */
export function isSame(given: string, wanted: string): boolean {
  return timingSafeEqual(digest(given), digest(wanted))
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** The key that a request of the control plane shows. */
export function shownKey(request: IncomingMessage): string | undefined {
  const key = request.headers['x-api-key']
  if (typeof key === 'string' && key !== '') return key
  return BEARER.exec(request.headers.authorization ?? '')?.[1]
}
