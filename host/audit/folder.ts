import { readdirSync } from 'node:fs'

/** Names of the folder's entries; none if it does not exist. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (failure) {
    if ((failure as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw failure
  }
}
