import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** The unit of st_blocks, whatever block size the file system uses (stat(2)). */
const BLOCK_BYTES = 512

/** Allocated bytes of a file, without holes, or of everything in a folder. 0 if it does not exist. */
export async function allocatedBytes(path: string): Promise<number> {
  try {
    const found = await stat(path)
    if (!found.isDirectory()) return found.blocks * BLOCK_BYTES
    const within = await Promise.all((await readdir(path)).map((name) => allocatedBytes(join(path, name))))
    return within.reduce((sum, bytes) => sum + bytes, 0)
  } catch (failure) {
    if ((failure as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw failure
  }
}
