import { realpath, stat } from 'node:fs/promises'
import type { Bind } from '@caisson/wire'

const PROGRAM = '/usr/bin/sudo'
/** Its plug-ins: sudo loads only those that belong to root. */
const PLUGINS = ['/usr/libexec/sudo', '/usr/lib/sudo']

/**
 * Mounts that `sudo` needs to work inside: only the program is set-uid there, and it and its plug-ins belong to the sandbox's root. The rest of /usr stays
 * owned by nobody, or root inside could read what only the host's root may read. Empty if the machine has no sudo.
 */
export async function sudoBinds(): Promise<Bind[]> {
  const program = await realpath(PROGRAM).catch(() => undefined)
  if (program === undefined || !program.startsWith('/usr/')) return []
  const binds: Bind[] = [{ source: program, target: program, mode: 'ro', ownedBy: 'root', setuid: true }]
  for (const path of PLUGINS) {
    if (await stat(path).catch(() => undefined)) binds.push({ source: path, target: path, mode: 'ro', ownedBy: 'root' })
  }
  return binds
}
