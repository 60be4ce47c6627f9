import type { NetworkFile } from '@caisson/wire'
import { acquireDaemon, hasDaemon, recordedHere } from '../../embedded.ts'
import { logOf } from './log.ts'

/** One question of a sandbox for a name or a connection, or one request on a connection that is looked into, and what was said. */
export interface Asked {
  at: string
  /** Of a name alone: null. */
  port: number | null
  host: string
  isAllowed: boolean
  rule: string
  reason: string
  /** Null: no rule would. */
  wouldAllow: string | null
}

/** Those of a daemon's sandbox are asked of the daemon; those of runs that had none are in the log of this machine. Undefined: nobody knows such a sandbox. */
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

/** The least that would have let it do what it was let do: each name and address with its port. */
export function learned(asked: readonly Asked[]): NetworkFile {
  const used = asked.flatMap(({ host, port, isAllowed }) => (isAllowed && port !== null ? [withPort(host, port)] : []))
  return used.length === 0 ? { mode: 'none' } : { mode: 'allow', allow: [...new Set(used)].sort() }
}

export function withPort(host: string, port: number | null): string {
  if (port === null) return host
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
