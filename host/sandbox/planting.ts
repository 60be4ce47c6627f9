import type { Exits } from '../airlock/exits.ts'
import type { LiveSandbox } from './life.ts'

/** A secret is readable by its owner only. */
const MODE = 0o600

/** Plants canary files before the guest runs anything. On a kept disk, an existing file may be in the way: `notice` is told. */
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
