import { Fault } from '@caisson/wire'

type Pair = readonly [name: string, value: string]

/**
 * E2B's clients encode three times: each name and value, the form made of them, and the query that carries the form (already decoded when this is called).
 * Throws BAD_REQUEST.
 */
export function parseMetadataFilter(form: string): Pair[] {
  return [...new URLSearchParams(form)].map(([name, value]): Pair => [decoded(name), decoded(value)])
}

/** All pairs must match. */
export function matchesMetadata(metadata: Readonly<Record<string, string>>, filter: readonly Pair[]): boolean {
  return filter.every(([name, value]) => Object.hasOwn(metadata, name) && metadata[name] === value)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    throw new Fault('BAD_REQUEST', `metadata: ${JSON.stringify(text)} is not percent-encoded`, { cause })
  }
}
