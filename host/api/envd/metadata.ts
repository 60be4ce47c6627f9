import type { IncomingHttpHeaders } from 'node:http'
import { Fault } from '@caisson/wire'

const PREFIX = 'x-metadata-'
/** The longest attribute name of a file system, less its prefix. */
const MAX_KEY_BYTES = 246
const MAX_TOTAL_BYTES = 4096
const PRINTABLE = /^[\x20-\x7e]*$/

/** The metadata in an upload's X-Metadata-* headers. Throws BAD_REQUEST. */
export function metadataHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const metadata: Record<string, string> = {}
  let total = 0
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith(PREFIX) || value === undefined) continue
    const key = name.slice(PREFIX.length)
    const text = Array.isArray(value) ? value.join(', ') : value
    if (key === '') throw new Fault('BAD_REQUEST', 'X-Metadata-: a key is missing')
    if (key.length > MAX_KEY_BYTES) throw new Fault('BAD_REQUEST', `X-Metadata-${key}: a key is at most ${MAX_KEY_BYTES} bytes`)
    if (!PRINTABLE.test(text)) throw new Fault('BAD_REQUEST', `X-Metadata-${key}: a value is printable ASCII`)
    total += key.length + text.length
    metadata[key] = text
  }
  if (total > MAX_TOTAL_BYTES) throw new Fault('BAD_REQUEST', `X-Metadata-*: more than ${MAX_TOTAL_BYTES} bytes all together`)
  return metadata
}
