import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '@caisson/wire'

/** How a daemon of this machine describes itself in the state folder: `daemon.json`, with the operator's key beside it. */
export interface LocalDaemon {
  url: string
  pid: number
  startedMs: number
  /** Names below this domain reach sandboxes, where they resolve. */
  domain: string | null
  /** Path of its certificate, if it uses TLS. */
  caPath: string | null
  key: string
}

/** Undefined if there is none, or only the files of a dead one. */
export async function localDaemon(home: string): Promise<LocalDaemon | undefined> {
  const said = await contentOf(join(home, 'daemon.json'))
  if (said === undefined) return undefined
  const daemon = daemonIn(said, join(home, 'daemon.json'))
  if (!isAlive(daemon.pid)) return undefined
  const key = await contentOf(join(home, 'key'))
  return key === undefined ? undefined : { ...daemon, key: key.trim() }
}

async function contentOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new Fault('HOME_UNUSABLE', `${path} cannot be read (${code})`, { cause })
  }
}

function daemonIn(said: string, path: string): Omit<LocalDaemon, 'key'> {
  try {
    const { url, pid, startedMs, domain = null, caPath = null } = JSON.parse(said) as LocalDaemon
    if (typeof url === 'string' && Number.isInteger(pid) && pid > 0 && typeof startedMs === 'number')
      return { url, pid, startedMs, domain, caPath }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new Fault('HOME_UNUSABLE', `${path} is not what a daemon writes`, {
    hint: 'Start the daemon again with `caisson up`, which writes it anew; or remove it.',
  })
}

/** A process of another user counts too. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
