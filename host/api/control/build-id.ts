import { createHash } from 'node:crypto'

/** A UUID for clients that expect a build id: the same for the same template in the same state (RFC 9562, version 8). */
export function buildIdOf(template: string, generation = ''): string {
  const hex = createHash('sha256').update(`${template} ${generation}`).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
