import { accessSync, constants, realpathSync, statSync } from 'node:fs'
import { Fault } from '@caisson/wire'

export interface Mount {
  source: string
  target: string
  mode: 'ro' | 'rw'
}

/** `DIR`, `DIR:ro` or `DIR:rw`: a folder of this machine, at the same path inside. */
export function mount(text: string): Mount {
  const match = /^(.+?)(?::(ro|rw))?$/s.exec(text)
  const path = match?.[1] ?? text
  const mode = match?.[2] === 'rw' ? 'rw' : 'ro'
  const source = readable(path, mode)
  return { source, target: source, mode }
}

function readable(path: string, mode: 'ro' | 'rw'): string {
  try {
    // realpath of nothing is the current folder.
    if (path === '') throw new Fault('MOUNT_UNREADABLE', 'no folder is named')
    const source = realpathSync(path)
    if (!statSync(source).isDirectory()) throw new Fault('MOUNT_UNREADABLE', `${path} is not a folder`)
    accessSync(source, constants.R_OK | constants.X_OK | (mode === 'rw' ? constants.W_OK : 0))
    return source
  } catch (cause) {
    if (cause instanceof Fault) throw cause
    const code = (cause as NodeJS.ErrnoException).code
    const why =
      code === 'ENOENT'
        ? 'does not exist'
        : code === 'EACCES'
          ? `may not be ${mode === 'rw' ? 'written' : 'read'} by you`
          : `failed: ${code}`
    throw new Fault('MOUNT_UNREADABLE', `${path} ${why}`, { cause })
  }
}
