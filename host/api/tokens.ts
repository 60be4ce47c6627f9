import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

const BEARER = /^bearer +(\S+)$/i

/** Constant time for wrong and right tokens alike. The token's length is not secret. */
export function isSame(given: string, wanted: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(wanted)]
  return one.length === other.length && timingSafeEqual(one, other)
}

/** The key in a control-plane request. */
export function shownKey(request: IncomingMessage): string | undefined {
  const key = request.headers['x-api-key']
  if (typeof key === 'string' && key !== '') return key
  return BEARER.exec(request.headers.authorization ?? '')?.[1]
}
