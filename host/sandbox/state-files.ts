import { execFile } from 'node:child_process'
import { chmod, chown } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { WallName } from '@caisson/wire'
import { z } from 'zod'

const MAX_SAID_BYTES = 64 * 1024

/** Files of a saved state, as named by runsc and our keeper (native/keeper/src/machine/stage.rs). */
export const STATE_FILES: Readonly<Record<WallName, readonly string[]>> = {
  container: [],
  gvisor: ['checkpoint.img'],
  microvm: ['disk.img', 'memory', 'state'],
}

/** Files of a sleeping sandbox's memory; its disk lies elsewhere. */
export const MEMORY_FILES: Readonly<Record<WallName, readonly string[]>> = { container: [], gvisor: [], microvm: ['memory', 'state'] }

/** By file name: SHA-256 over the non-zero data and its offsets (native/keeper/src/sums.rs). */
export const Sums = z.record(z.string(), z.string().regex(/^[0-9a-f]{64}$/))
export type Sums = z.infer<typeof Sums>

/** Rejects when one of the files is missing. */
export async function sums(keeper: string, folder: string, names: readonly string[], signal: AbortSignal): Promise<Sums> {
  const paths = names.map((name) => join(folder, name))
  const { stdout } = await promisify(execFile)(keeper, ['sum', ...paths], { env: {}, cwd: '/', maxBuffer: MAX_SAID_BYTES, signal })
  const found = Sums.parse(JSON.parse(stdout))
  return Sums.parse(Object.fromEntries(names.map((name) => [name, found[join(folder, name)]])))
}

/** The engine wrote these files with the sandbox's own ids. From now on sandboxes with other ids may read them, and none may write them. */
export async function own(folder: string, names: readonly string[]): Promise<void> {
  await chown(folder, 0, 0)
  await chmod(folder, 0o755)
  for (const name of names) {
    await chown(join(folder, name), 0, 0)
    await chmod(join(folder, name), 0o444)
  }
}
