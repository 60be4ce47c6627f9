import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** st_blocks are of this size, whatever the file system's own are (stat(2)). */
const BLOCK_BYTES = 512

/** What a file takes of the disk, holes left out; of a folder, what is in it. 0: it is not there. */
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
