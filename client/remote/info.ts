import { isRecord, type Json, needed, number, text, texts, time } from './json.ts'

/** What a daemon reports about a sandbox. */
export interface SandboxInfo {
  id: string
  /** What it was created from; can be used again as `template`. */
  template: string
  alias?: string
  state: 'running' | 'paused'
  startedMs: number
  /** When its timeout expires. */
  endMs: number
  cpus: number
  memoryMiB: number
  diskMiB: number
  metadata: Record<string, string>
  /** What happens then. Reported for a single sandbox, not in lists. */
  onTimeout?: 'kill' | 'pause'
  /** Whether traffic resumes it. Reported for a single sandbox, not in lists. */
  autoResume?: boolean
}

export function infoOf(sandbox: Json): SandboxInfo {
  const what = 'a sandbox'
  const alias = text(sandbox, 'alias')
  return {
    id: needed(text(sandbox, 'sandboxID'), what, 'its id'),
    template: text(sandbox, 'templateID') ?? '',
    ...(alias === undefined ? {} : { alias }),
    state: sandbox['state'] === 'paused' ? 'paused' : 'running',
    startedMs: needed(time(sandbox, 'startedAt'), what, 'its start'),
    endMs: needed(time(sandbox, 'endAt'), what, 'its end'),
    cpus: number(sandbox, 'cpuCount') ?? 0,
    memoryMiB: number(sandbox, 'memoryMB') ?? 0,
    diskMiB: number(sandbox, 'diskSizeMB') ?? 0,
    metadata: texts(sandbox['metadata']),
    ...lifecycleOf(sandbox['lifecycle']),
  }
}

function lifecycleOf(lifecycle: unknown): Pick<SandboxInfo, 'onTimeout' | 'autoResume'> {
  if (!isRecord(lifecycle)) return {}
  return { onTimeout: lifecycle['onTimeout'] === 'pause' ? 'pause' : 'kill', autoResume: lifecycle['autoResume'] === true }
}
