import { mkdir } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/** Makes a folder with its parents, one by one: below /proc, Node's way of making them all never returns. Rejects as mkdir(2) fails. */
export async function makeFolders(path: string, mode: number): Promise<void> {
  const missing = [resolve(path)]
  for (let parent = dirname(missing[0] ?? '/'); parent !== dirname(parent); parent = dirname(parent)) missing.unshift(parent)
  for (const folder of missing) {
    await mkdir(folder, { mode }).catch((cause: NodeJS.ErrnoException) => {
      // Of one that is there a read-only file system may say that instead.
      if (cause.code !== 'EEXIST' && cause.code !== 'EROFS') throw cause
    })
  }
}
