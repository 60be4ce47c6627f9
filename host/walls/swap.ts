import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** What prevents a memory-limited group from continuing in swap. `mend`: nothing does. */
export interface SwapBound {
  readonly detail: string
  readonly mend?: string
}

/** As native/keeper/src/swap.rs decides it. */
export async function swapIn(group: string, version: 1 | 2, swaps = '/proc/swaps'): Promise<SwapBound> {
  const has = (file: string) => existsSync(join(group, file))
  if (has(version === 1 ? 'memory.memsw.limit_in_bytes' : 'memory.swap.max')) return { detail: 'swap is limited with it' }
  if (version === 1 && has('memory.swappiness')) return { detail: 'swap is not counted, and not used at the limit (swappiness 0)' }
  // The first line names the columns.
  const lines = (await readFile(swaps, 'utf8').catch(() => '')).trim().split('\n')
  if (lines.length <= 1) return { detail: 'there is no swap' }
  return { detail: 'this machine swaps and does not count it; only --memory none works', mend: 'sudo swapoff -a' }
}
