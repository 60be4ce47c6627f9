import { setTimeout } from 'node:timers/promises'
import type { acquireDaemon } from '../../embedded.ts'

type Daemon = Awaited<ReturnType<typeof acquireDaemon>>
/** An event in a sandbox. */
export type LogEntry = Awaited<ReturnType<Daemon['log']>>[number]

const LOOK_AGAIN_MS = 500

/** The events in a sandbox, oldest first; with `follow`, also new ones until it is gone. */
export async function* logOf(daemon: Daemon, id: string, follow: boolean, signal: AbortSignal): AsyncGenerator<LogEntry> {
  let fromMs = 0
  /** Entries with the latest timestamp: the next request returns all of that moment again. */
  let seen = new Set<string>()
  for (;;) {
    // Asked before the entries, so that no entry before a reported end is missed.
    const { state } = (await daemon.tell('GET', `/sandboxes/${id}`, undefined, `find sandbox ${id}`, signal)) as { state: string }
    const entries = await daemon.log(id, fromMs, signal)
    const fresh = entries.filter((entry) => !seen.has(JSON.stringify(entry)))
    yield* fresh
    const lastMs = Math.max(fromMs, ...entries.map(({ timestamp }) => Date.parse(timestamp)))
    seen = new Set(entries.filter(({ timestamp }) => Date.parse(timestamp) >= lastMs).map((entry) => JSON.stringify(entry)))
    fromMs = lastMs
    if (fresh.length > 0) continue
    if (!follow || state === 'gone') return
    await setTimeout(LOOK_AGAIN_MS, undefined, { signal })
  }
}
