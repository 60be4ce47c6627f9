import { mkdir } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/** Makes a folder and its parents one by one, because Node's recursive mkdir never returns below /proc. Rejects as mkdir(2) fails. */
export async function makeFolders(path: string, mode: number): Promise<void> {
  const missing = [resolve(path)]
  for (let parent = dirname(missing[0] ?? '/'); parent !== dirname(parent); parent = dirname(parent)) missing.unshift(parent)
  for (const folder of missing) {
    await mkdir(folder, { mode }).catch((cause: NodeJS.ErrnoException) => {
      // A read-only file system may report EROFS for a folder that exists.
      if (cause.code !== 'EEXIST' && cause.code !== 'EROFS') throw cause
    })
  }
}
