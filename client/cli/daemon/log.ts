import { setTimeout } from 'node:timers/promises'
import type { acquireDaemon } from '../../embedded.ts'

type Daemon = Awaited<ReturnType<typeof acquireDaemon>>
/** One thing that happened in a sandbox. */
export type LogEntry = Awaited<ReturnType<Daemon['log']>>[number]

const LOOK_AGAIN_MS = 500

/** What has happened in a sandbox, oldest first; followed, also what happens until it is gone. */
export async function* logOf(daemon: Daemon, id: string, follow: boolean, signal: AbortSignal): AsyncGenerator<LogEntry> {
  let fromMs = 0
  /** Those of the last moment: the next question asks for all of that moment again. */
  let seen = new Set<string>()
  for (;;) {
    // Asked before the entries: whatever it says, they are all of what came before.
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
