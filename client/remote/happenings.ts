import { Fault, type SandboxHappening } from '@caisson/wire'
import { lines } from './framing.ts'
import { isRecord, parseJson } from './json.ts'
import type { Visit } from './visit.ts'

/** Events of a daemon's sandbox until it is gone. Rejects with DAEMON_UNREACHABLE if the connection breaks off earlier. */
export async function* happeningsOf(visit: Visit, signal: AbortSignal): AsyncGenerator<SandboxHappening> {
  const path = `/caisson/v1/events?sandbox=${encodeURIComponent(visit.id)}&denials=true`
  const { body } = await visit.control.ask({ method: 'GET', path }, 'events', signal)
  for await (const line of lines(body)) {
    const happening = happeningIn(parseJson(line, 'events'))
    if (happening === undefined) continue
    yield happening
    if (happening.kind === 'gone') return
  }
  throw new Fault('DAEMON_UNREACHABLE', `the daemon told no more of sandbox ${visit.id}`)
}

/** Undefined: not an event for callers. */
function happeningIn(line: unknown): SandboxHappening | undefined {
  if (!isRecord(line)) return undefined
  const { kind, at } = line
  const atMs = Date.parse(String(at))
  if (kind === 'paused' || kind === 'resumed' || kind === 'timeout') return { kind, atMs }
  if (kind === 'gone') return { kind, atMs, reason: String(line['reason'] ?? '') }
  if (kind !== 'denied') return undefined
  const { host, port, rule, reason, wouldAllow, missed } = line
  return {
    kind,
    atMs,
    host: String(host ?? ''),
    port: typeof port === 'number' ? port : null,
    rule: String(rule ?? ''),
    reason: String(reason ?? ''),
    wouldAllow: typeof wouldAllow === 'string' ? wouldAllow : null,
    missed: typeof missed === 'number' ? missed : 0,
  }
}
