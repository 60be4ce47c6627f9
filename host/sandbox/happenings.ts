import type { Death, SandboxHappening } from '@caisson/wire'
import type { Denials } from '../airlock/denials.ts'
import { onAbort, type Settled, settled } from '../lifetimes.ts'

/** Denials that wait for a reader; those beyond are counted, and the next one says how many. */
const MAX_WAITING = 500

/** What a sandbox is denied, as it happens, and its end, which is the last. Ends, without a failure, when the signal aborts. */
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
