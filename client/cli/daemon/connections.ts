import type { NetworkFile } from '@caisson/wire'
import { acquireDaemon, hasDaemon, recordedHere } from '../../embedded.ts'
import { logOf } from './log.ts'

/** One name query, connection, or request on an inspected connection, with its verdict. */
export interface Asked {
  at: string
  /** Null: a name query. */
  port: number | null
  host: string
  isAllowed: boolean
  rule: string
  reason: string
  /** Null: no rule would. */
  wouldAllow: string | null
}

/** The daemon is asked about its own sandboxes; runs without a daemon are in this machine's log. Undefined: no such sandbox is known. */
export async function askedBy(id: string | undefined, signal: AbortSignal): Promise<{ id: string; asked: Asked[] } | undefined> {
  if (id?.startsWith('i') && (await hasDaemon(signal))) {
    const asked: Asked[] = []
    for await (const { timestamp, fields } of logOf(await acquireDaemon('caisson why', signal), id, false, signal)) {
      if (fields['kind'] === 'network' || fields['kind'] === 'network-request') asked.push(told({ ...fields, ts: timestamp }))
    }
    return { id, asked }
  }
  const found = await recordedHere(id ?? null, signal)
  return found === undefined ? undefined : { id: found.sandbox, asked: found.asked.map(told) }
}

function told(record: Readonly<Record<string, unknown>>): Asked {
  const { ts, name, address, port, verdict, rule, reason, wouldAllow } = record
  return {
    at: String(ts),
    host: String(name ?? address ?? ''),
    port: port === undefined || port === null ? null : Number(port),
    isAllowed: verdict !== 'deny' && verdict !== 'refuse',
    rule: String(rule ?? ''),
    reason: String(reason ?? ''),
    wouldAllow: typeof wouldAllow === 'string' ? wouldAllow : null,
  }
}

/** The smallest policy that allows what it was allowed to do: each name and address with its port. */
export function learned(asked: readonly Asked[]): NetworkFile {
  const used = asked.flatMap(({ host, port, isAllowed }) => (isAllowed && port !== null ? [withPort(host, port)] : []))
  return used.length === 0 ? { mode: 'none' } : { mode: 'allow', allow: [...new Set(used)].sort() }
}

export function withPort(host: string, port: number | null): string {
  if (port === null) return host
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
