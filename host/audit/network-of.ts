import type { NetworkRecord } from '@caisson/wire'
import { parsedLine } from './lines.ts'
import { linesFromEnd } from './tail.ts'

/** How much of the log's end is searched. */
const MAX_TAIL_BYTES = 256 * 1024 * 1024

/** One name query, connection, or request on an inspected connection, with its verdict. `ts`: the log's timestamp. */
export type Asked = Extract<NetworkRecord, { kind: 'network' | 'network-request' }> & { readonly ts: string }

/** A sandbox's network activity, oldest first. `sandbox` null: the most recent one. Undefined: not in the log. */
export async function networkOf(
  path: string,
  sandbox: string | null,
  signal: AbortSignal,
): Promise<{ sandbox: string; asked: Asked[] } | undefined> {
  const asked: Asked[] = []
  const id = sandbox ?? (await lastMade(path, signal))
  if (id === undefined) return undefined
  for await (const line of linesFromEnd(path, MAX_TAIL_BYTES, signal)) {
    if (!line.includes(id)) continue
    const record = parsedLine(line)
    if (record?.['sandbox'] !== id) continue
    if (record['kind'] === 'network' || record['kind'] === 'network-request') asked.push(record as unknown as Asked)
    if (record['kind'] === 'create') return { sandbox: id, asked: asked.reverse() }
  }
  return asked.length === 0 ? undefined : { sandbox: id, asked: asked.reverse() }
}

async function lastMade(path: string, signal: AbortSignal): Promise<string | undefined> {
  for await (const line of linesFromEnd(path, MAX_TAIL_BYTES, signal)) {
    const record = line.includes('"create"') ? parsedLine(line) : undefined
    if (record?.['kind'] === 'create' && typeof record['sandbox'] === 'string') return record['sandbox']
  }
  return undefined
}
