import type { Death, SandboxHappening } from '@caisson/wire'
import type { Denials } from '../airlock/denials.ts'
import { onAbort, type Settled, settled } from '../lifetimes.ts'

/** Denials that are queued for a reader. Further ones are dropped and counted, and the next one delivered carries the count. */
const MAX_WAITING = 500

/** Yields each denied network request as it happens, and the sandbox's end as the last item. Ends without an error when the signal aborts. */
export async function* happeningsOf(
  { id, ended }: { readonly id: string; readonly ended: Promise<Death> },
  denials: Denials,
  signal: AbortSignal,
): AsyncGenerator<SandboxHappening> {
  const waiting: SandboxHappening[] = []
  let missed = 0
  let bell: Settled<void> = settled()
  const stop = denials.listen(id, (denial) => {
    if (waiting.length >= MAX_WAITING) missed += 1
    else {
      waiting.push({ ...denial, missed })
      missed = 0
    }
    bell.resolve()
  })
  const leave = onAbort(signal, () => bell.resolve())
  void ended.then(({ reason, endedMs }) => {
    waiting.push({ kind: 'gone', atMs: endedMs, reason })
    bell.resolve()
  })
  try {
    while (!signal.aborted) {
      for (const happening of waiting.splice(0)) {
        yield happening
        if (happening.kind === 'gone') return
      }
      if (waiting.length > 0) continue
      bell = settled()
      if (!signal.aborted) await bell.promise
    }
  } finally {
    stop()
    leave()
  }
}
