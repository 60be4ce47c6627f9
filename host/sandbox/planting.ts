import type { Exits } from '../airlock/exits.ts'
import type { LiveSandbox } from './life.ts'

/** Nobody's secrets are for others to read. */
const MODE = 0o600

/** Canaries that are files, before anybody else may do something in it. On a disk that was kept, something may be in their way: `notice` is told. */
export async function plantFiles(
  { id, plan: { user }, files }: Pick<LiveSandbox, 'id' | 'plan' | 'files'>,
  exits: Pick<Exits, 'plantedFiles'>,
  notice: ((line: string) => void) | null,
  signal: AbortSignal,
): Promise<void> {
  for (const { file, text } of exits.plantedFiles(id)) {
    try {
      await files.write(`${user.home}/${file}`, Buffer.from(text), { user: user.name, mode: MODE }, signal)
    } catch (failure) {
      if (notice === null) throw failure
      notice(`sandbox ${id}: the canary ~/${file} could not be planted: ${failure instanceof Error ? failure.message : String(failure)}`)
    }
  }
}
